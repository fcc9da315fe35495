//! The worker as a whole: set up by a welcome, asked over one connection or several, ended by an order.

use std::{
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result, bail};
use lab_model::{Role, Service};
use lab_process::{Arena, GROW_EVERY, channel, clock, create_trace, process_id, thread_id};
use lab_protocol::{
    Asked, Assignment, FrameError, Order, PROTOCOL, Reply, Welcome, WorkerAssignment, receive, receive_asked,
    send,
};
use lab_trace::{ThreadMark, ThreadPurpose, TraceWriter};

use crate::errands::{Errands, Job, Runner};

/// Serves until whoever started it says that it is over, or is gone.
pub(crate) fn run(stream: &Arc<UnixStream>) -> Result<()> {
    let Order::Welcome(welcome) = receive(&mut &**stream)? else { bail!("the first order was no welcome") };
    if welcome.protocol != PROTOCOL {
        bail!("whoever started this worker speaks protocol {}, this worker {PROTOCOL}", welcome.protocol);
    }
    let Assignment::Worker(assignment) = &welcome.assignment else {
        bail!("a worker was given the assignment of another process")
    };
    let role = if assignment.client.is_some() { Role::Helper } else { Role::Daemon };
    let trace = create_trace(&welcome, role, env!("CARGO_PKG_VERSION"))
        .with_context(|| format!("cannot create the trace {}", welcome.trace.path))?;
    let listener = assignment.listen.as_deref().map(channel::listen).transpose();
    let listener = listener.context("cannot listen for clients")?;
    let errands = Arc::new(Errands::new(
        trace.clone(),
        Arena::new(&welcome.arena, assignment.workload.clone()),
        Service { errand: assignment.errand, workers: assignment.workers },
    ));
    let threads = start_threads(&welcome, assignment, &errands)?;
    send(&mut &**stream, &Reply::Ready { pid: process_id(), threads, queue: None, helpers: Vec::new() })?;
    match listener {
        Some(listener) => {
            spawn("listener".to_owned(), {
                let errands = Arc::clone(&errands);
                move || accept(&listener, &errands)
            })?;
            follow(stream, &errands)
        }
        None => {
            errands.open();
            let asked = take_requests(stream, &errands);
            errands.finish(clock::now())?;
            match asked {
                // The client has let go of it, or has died: its end is the same.
                Err(FrameError::Closed) => Ok(()),
                ended => Ok(ended?),
            }
        }
    }
}

/// A daemon's orders.
fn follow(stream: &UnixStream, errands: &Errands) -> Result<()> {
    loop {
        match receive(&mut &*stream)? {
            Order::Serve => {
                errands.open();
                send(&mut &*stream, &Reply::Done)?;
            }
            Order::Work { helper: None, service } => {
                errands.serve(service);
                send(&mut &*stream, &Reply::Done)?;
            }
            Order::Finish => {
                let lost = errands.finish(clock::now())?;
                return Ok(send(&mut &*stream, &Reply::Closed { lost })?);
            }
            order => bail!("a worker cannot follow the order {order:?}"),
        }
    }
}

/// Takes clients in; each connection brings one request at a time.
fn accept(listener: &UnixListener, errands: &Arc<Errands>) {
    for stream in listener.incoming() {
        let errands = Arc::clone(errands);
        let served = stream.map_err(anyhow::Error::from).and_then(|stream| {
            let stream = Arc::new(stream);
            spawn("connection".to_owned(), move || match take_requests(&stream, &errands) {
                Ok(()) | Err(FrameError::Closed) => {}
                Err(error) => tracing::warn!("a client's connection failed: {error}"),
            })
        });
        if let Err(error) = served {
            tracing::warn!("cannot serve a client: {error:#}");
        }
    }
}

/// Takes requests in until the connection ends.
fn take_requests(stream: &Arc<UnixStream>, errands: &Errands) -> Result<(), FrameError> {
    loop {
        match receive_asked(&mut &**stream)? {
            Asked::Request(request) => {
                errands.add(Job { request, read: clock::now(), reply: Arc::clone(stream) });
            }
            Asked::Service(service) => errands.serve(service),
        }
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name).spawn(body).map(drop).context("cannot start a thread")
}

/// Starts the threads that do errands and the one that grows the trace; returns the IDs of all.
fn start_threads(
    welcome: &Welcome,
    assignment: &WorkerAssignment,
    errands: &Arc<Errands>,
) -> Result<Vec<u64>> {
    let (announce, announced) = mpsc::channel();
    for number in 0..assignment.workers {
        let (errands, announce) = (Arc::clone(errands), announce.clone());
        spawn(format!("worker-{number}"), move || {
            register(errands.trace(), &announce, ThreadPurpose::Worker, number);
            let mut runner = Runner::new(&errands, number);
            loop {
                let (job, errand) = errands.next();
                let carried = runner.carry_out(&job, &errand);
                errands.over();
                job.reply(&carried);
            }
        })?;
    }
    let (trace, announce_growth) = (errands.trace().clone(), announce.clone());
    spawn("housekeeper".to_owned(), move || {
        register(&trace, &announce_growth, ThreadPurpose::Housekeeper, 0);
        drop(announce_growth);
        grow(&trace)
    })?;
    register(errands.trace(), &announce, ThreadPurpose::Control, 0);
    drop(announce);
    let count = usize::from(assignment.workers) + 2;
    let threads = (0..count).map(|_| announced.recv());
    threads.collect::<Result<_, _>>().with_context(|| format!("a thread of {} ended at once", welcome.name))
}

fn register(trace: &TraceWriter, announce: &mpsc::Sender<u64>, purpose: ThreadPurpose, number: u16) {
    let tid = thread_id();
    trace.thread(&ThreadMark { at: clock::now(), tid, purpose, number });
    if announce.send(tid).is_err() {
        tracing::error!("nobody waits for the threads any more");
    }
}

/// Maps more of the trace ahead of the writers; for ever.
fn grow(trace: &TraceWriter) -> ! {
    let mut full = false;
    loop {
        if let Err(error) = trace.grow()
            && !std::mem::replace(&mut full, true)
        {
            tracing::warn!("the trace cannot grow, what follows is counted as lost: {error}");
        }
        thread::sleep(GROW_EVERY);
    }
}
