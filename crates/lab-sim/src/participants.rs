//! Whoever runs on the machine: the driver, the clients and their threads, helpers and daemons, trees of programs.

pub(crate) mod channels;
pub(crate) mod client;
pub(crate) mod deciders;
pub(crate) mod driver;
pub(crate) mod observers;
pub(crate) mod trees;
pub(crate) mod worker_processes;
