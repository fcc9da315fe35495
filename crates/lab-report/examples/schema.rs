//! Prints the JSON Schema of `report.json`: `cargo run -p lab-report --example schema`.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

fn main() {
    print!("{}", lab_report::json::schema());
}
