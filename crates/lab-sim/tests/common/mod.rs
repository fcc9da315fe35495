//! Simulated runs for the tests.
#![allow(dead_code, reason = "each test file uses a part")]

use lab_model::Lab;
use lab_sim::{Costs, Counting, Kernel, Options, Summary, simulate};

pub(crate) const KERNELS: [Kernel; 2] = [Kernel::Fanotify, Kernel::EndpointSecurity];

pub(crate) fn run(lab: &Lab, kernel: Kernel) -> Summary {
    run_with(lab, kernel, Costs::default())
}

pub(crate) fn run_with(lab: &Lab, kernel: Kernel, costs: Costs) -> Summary {
    let options = Options { costs, ..Options::new(lab, kernel) };
    simulate(lab, &options, &mut Counting::default())
}
