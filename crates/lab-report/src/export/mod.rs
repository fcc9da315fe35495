//! The traces of a run in formats that other tools read. Reads traces and findings, never live state, and writes
//! the same bytes twice. What is capped is counted, and the count is in what is written.

mod clock;
mod index;
mod jsonl;
mod packets;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;

pub use jsonl::jsonl;
#[cfg(feature = "parquet")]
pub use parquet::parquet;
pub use perfetto::{Caps, Exported, perfetto};
