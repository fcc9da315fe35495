//! What things cost: by default, and on a machine whose runs were recorded.

pub(crate) mod calibrate;
pub(crate) mod costs;
pub(crate) mod measure;
pub(crate) mod measured;
