//! One run: what each thread does in its pieces of work, and the loop that lets one thing happen after another.

use lab_model::Lab;

use crate::{
    hardware::{agenda::SimEvent, scheduler::Next},
    machine::{Machine, Work},
    options::Options,
    participants::{
        deciders, errands, growing, joining, observers, opening, requests, threads::Step, workers,
    },
    records::{sink::Sink, tally::Tally},
    scenario::{faults, phases, restarts, warden},
};

/// Runs a lab from its start to its end and returns what was counted.
pub(crate) fn run<S: Sink>(lab: &Lab, options: &Options, sink: &mut S) -> Tally {
    let mut machine = Machine::new(lab, options, sink);
    joining::populate(&mut machine);
    phases::begin_script(&mut machine);
    while !machine.script.is_over() {
        let Some(what) = machine.clock.next() else { break };
        happen(&mut machine, what);
        if machine.script.draining() {
            phases::watch_for_calm(&mut machine);
        }
        if machine.recorder.decisions() >= options.decisions_max {
            phases::cut(&mut machine);
        }
    }
    machine.recorder.into_tally()
}

fn happen<S: Sink>(machine: &mut Machine<'_, S>, what: SimEvent) {
    match what {
        SimEvent::WorkDone { core } => machine.work_done(core),
        SimEvent::WaitOver { thread, wait } => machine.wait_over(thread, wait),
        SimEvent::BudgetSpent { client } => deciders::budget_spent(machine, client),
        SimEvent::DeadlineCheck => warden::check_deadlines(machine),
        SimEvent::Released { client } => restarts::release_waiting(machine, client),
        SimEvent::FaultBegins { place } => faults::fault_begins(machine, place as usize),
        SimEvent::FaultEnds { place } => faults::fault_ends(machine, place as usize),
        SimEvent::StartAgain { client } => restarts::start_again(machine, client as usize),
        SimEvent::BackAgain { client, process } => restarts::back_again(machine, client as usize, process),
        SimEvent::KnownAgain { client, process } => restarts::known_again(machine, client as usize, process),
        SimEvent::DaemonAgain { daemon } => restarts::daemon_again(machine, daemon as usize),
        SimEvent::DaemonListens { worker_process } => restarts::daemon_listens(machine, worker_process),
        SimEvent::DaemonServes { worker_process } => restarts::daemon_serves(machine, worker_process),
        SimEvent::Regain { client, by, asked } => requests::regain(machine, client, by, asked),
        SimEvent::Script { step } => phases::script_step(machine, step),
        SimEvent::Quiet { calm } => phases::calm_over(machine, calm),
        SimEvent::RunTooLong => phases::run_too_long(machine),
    }
}

impl<S: Sink> Work for Machine<'_, S> {
    fn begin(&mut self, thread: u32, start: u64) -> u64 {
        let pricing = &mut self.pricing;
        match self.participants.step(thread) {
            Step::Receive => deciders::enter_receive(self, thread, start),
            Step::Hear => observers::enter_hear(self, thread, start),
            Step::FallBack => deciders::enter_fall_back(self, thread, start),
            Step::TakeUp => workers::enter_take_up(self, thread, start),
            Step::Waited => start + pricing.draw(pricing.costs().decide),
            Step::Work if self.participants.is_outside(thread) => {
                errands::enter_errand_work(self, thread, start)
            }
            Step::Work => workers::enter_work(self, thread, start),
            Step::Begin => opening::enter_begin(self, thread, start),
            Step::Resume => opening::enter_resume(self, thread, start),
            Step::Content => opening::enter_content(self, thread, start),
            Step::Answer => workers::enter_answer(self, thread, start),
            Step::Ask => requests::enter_ask(self, start),
            Step::Replied => start + pricing.draw(pricing.costs().hand_over),
            Step::Fetch => errands::enter_fetch(self, start),
            Step::Reply => errands::enter_reply(self, start),
            Step::Grow => start + pricing.draw(pricing.costs().wake_up),
            Step::Wither => start + pricing.draw(pricing.costs().exec_exit),
            Step::Burn => start + pricing.draw(pricing.costs().time_slice.max(1)),
        }
    }

    fn end(&mut self, thread: u32) -> Next {
        match self.participants.step(thread) {
            Step::Receive => deciders::leave_receive(self, thread),
            Step::Hear => observers::leave_hear(self, thread),
            Step::FallBack => deciders::leave_fall_back(self, thread),
            Step::TakeUp => workers::leave_take_up(self, thread),
            Step::Waited => opening::work_finished(self, thread),
            Step::Work if self.participants.is_outside(thread) => errands::leave_errand_work(self, thread),
            Step::Work => workers::leave_work(self, thread),
            Step::Begin | Step::Resume => opening::leave_open(self, thread),
            Step::Content => opening::leave_content(self, thread),
            Step::Answer => workers::leave_answer(self, thread),
            Step::Ask => requests::leave_ask(self, thread),
            Step::Replied => requests::leave_replied(self, thread),
            Step::Fetch => errands::leave_fetch(self, thread),
            Step::Reply => errands::leave_reply(self, thread),
            Step::Grow => growing::leave_grow(self, thread),
            Step::Wither => opening::leave_wither(self, thread),
            Step::Burn => Next::Continue,
        }
    }
}
