//! What a piece of work costs this time: drawn around what it costs on average.

use crate::{
    calibration::costs::Costs,
    hardware::{processors::Begin, random::Random},
};

/// The costs, and the noise around them.
#[derive(Debug)]
pub(crate) struct Pricing {
    costs: Costs,
    noise: Random,
}

impl Pricing {
    pub(crate) const fn new(costs: Costs, seed: u64) -> Pricing {
        Pricing { costs, noise: Random::new(seed, 2) }
    }

    /// What things cost on average.
    #[inline]
    pub(crate) const fn costs(&self) -> &Costs {
        &self.costs
    }

    /// Draws the cost of a piece of work around what it costs on average.
    #[inline]
    pub(crate) fn draw(&mut self, average: u64) -> u64 {
        let spread = u64::from(self.costs.jitter_percent);
        if spread == 0 {
            return average;
        }
        // Parts of 1024, so that no division is needed.
        let spread = spread * 1024 / 100;
        let draw = (u128::from(self.noise.word()) * u128::from(2 * spread + 1)) >> 64;
        let share = 1024 - spread + u64::try_from(draw).unwrap_or(0);
        average * share / 1024
    }

    /// How long a processor takes to turn to a thread.
    #[inline]
    pub(crate) fn turning(&mut self, begin: &Begin) -> u64 {
        let idle = if begin.was_idle { self.costs.idle_exit } else { 0 };
        let sleep = if begin.slept { self.costs.sleep_exit } else { 0 };
        let switch = if begin.switches { self.costs.context_switch } else { 0 };
        let tail = if begin.was_idle && self.costs.idle_tail > 0 {
            self.noise.exponential(self.costs.idle_tail)
        } else {
            0
        };
        self.draw(idle + sleep + switch) + tail
    }

    /// How much longer a first piece of work takes after so long an absence.
    #[inline]
    pub(crate) fn cold_after(&mut self, away: u64) -> u64 {
        let cold = self.costs.cold_after(away);
        if cold > 0 { self.draw(cold) } else { 0 }
    }
}
