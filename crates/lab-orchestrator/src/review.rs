//! temporary
use crate::{Failure, RunFolder};
use lab_analysis::findings::Findings;
use lab_model::Lab;
/// temporary
#[derive(Clone, Debug)]
pub struct Review {
    /// x
    pub lab: Lab,
    /// x
    pub findings: Findings,
}
/// temporary
/// # Errors
/// none
pub fn review(_: &RunFolder) -> Result<Review, Failure> {
    Err(Failure::new(crate::FailureKind::Bug, "no analysis yet"))
}
impl Review {
    /// x
    /// # Errors
    /// none
    pub fn write(&self, _: &RunFolder) -> Result<(), Failure> {
        Ok(())
    }
}
