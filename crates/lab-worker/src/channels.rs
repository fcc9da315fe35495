//! The channels over which clients ask: read by one thread, each with at most one request under way.
//!
//! Whoever does not keep to that is cut off and counted, and nobody else is held up: no read and no reply waits, half a
//! request lies in its channel's own small buffer, and a channel that is cut off costs nothing any more.

use std::{
    io::{ErrorKind, Read},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lab_model::Actor;
use lab_process::channel::send_at_once;
use lab_protocol::{CHANNELS_MAX, Carried, FrameError, Incoming, REQUEST_BYTES_MAX, Request, reply_bytes};

/// How many channels have been cut off.
pub(crate) type CutOff = Arc<AtomicU64>;

/// The way back to whoever asked.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Whose channel it is, as the one says who handed it over.
    pub(crate) client: Actor,
    stream: UnixStream,
    /// A request is under way: no other may come.
    asked: AtomicBool,
    cut_off: CutOff,
}

impl Asker {
    /// Sends the reply to the request that is under way. Whoever asked may be gone, and who does not read is cut off.
    pub(crate) fn reply(&self, carried: &Carried) {
        // Before the reply, because the next request may follow at once.
        self.asked.store(false, Ordering::Release);
        match send_at_once(&self.stream, &reply_bytes(carried)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.cut("it does not read its replies"),
            Err(error) => tracing::debug!("nobody waits for the reply: {error}"),
            Ok(()) => {}
        }
    }

    fn cut(&self, why: &str) {
        if self.cut_off.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("a channel of client {} is cut off: {why}", self.client.0);
        }
        if let Err(error) = self.stream.shutdown(Shutdown::Both) {
            tracing::debug!("the channel has ended before: {error}");
        }
    }
}

#[derive(Debug)]
struct Channel {
    asker: Arc<Asker>,
    incoming: Incoming,
}

/// What came of reading a channel.
enum Came {
    Request(Request),
    /// Nothing, or half a request.
    Little,
    /// The channel is over.
    End,
}

/// All channels of a worker.
#[derive(Debug)]
pub(crate) struct Channels {
    channels: Vec<Channel>,
    cut_off: CutOff,
    piece: Box<[u8; REQUEST_BYTES_MAX + 1]>,
}

impl Channels {
    pub(crate) fn new() -> Channels {
        let piece = Box::new([0; REQUEST_BYTES_MAX + 1]);
        Channels { channels: Vec::new(), cut_off: CutOff::default(), piece }
    }

    /// Takes the ends of channels in, the other ends of which this client has.
    ///
    /// # Errors
    /// More than [`CHANNELS_MAX`] in all; nothing is taken in then.
    pub(crate) fn add(&mut self, client: Actor, streams: Vec<UnixStream>) -> anyhow::Result<()> {
        // Those of clients that have died make room before they are heard of.
        if self.channels.len() + streams.len() > CHANNELS_MAX {
            anyhow::bail!("more than {CHANNELS_MAX} channels lead to this worker");
        }
        for stream in streams {
            stream.set_nonblocking(true)?;
            let (asked, cut_off) = (AtomicBool::new(false), Arc::clone(&self.cut_off));
            let asker = Arc::new(Asker { client, stream, asked, cut_off });
            self.channels.push(Channel { asker, incoming: Incoming::default() });
        }
        Ok(())
    }

    /// What to wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.channels.iter().map(|channel| channel.asker.stream.as_fd())
    }

    /// How many channels have been cut off until now.
    pub(crate) fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Reads each channel of which `ready` says that there is something, in the order of [`Channels::descriptors`], and
    /// returns the requests that are whole. Those that have ended are let go of.
    pub(crate) fn read(&mut self, mut ready: impl FnMut(usize) -> bool) -> Vec<(Arc<Asker>, Request)> {
        let mut requests = Vec::new();
        let (mut place, piece) = (0, &mut self.piece[..]);
        self.channels.retain_mut(|channel| {
            let is_ready = ready(place);
            place += 1;
            if !is_ready {
                return true;
            }
            match channel.read(piece) {
                Came::Request(request) => {
                    requests.push((Arc::clone(&channel.asker), request));
                    true
                }
                Came::Little => true,
                Came::End => false,
            }
        });
        requests
    }
}

impl Channel {
    fn read(&mut self, piece: &mut [u8]) -> Came {
        let bytes = match (&self.asker.stream).read(piece) {
            Ok(0) => return Came::End,
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Came::Little;
            }
            Err(error) => {
                tracing::debug!("a channel has broken: {error}");
                return Came::End;
            }
        };
        if self.asker.asked.load(Ordering::Acquire) {
            self.asker.cut(&FrameError::Crowded.to_string());
            return Came::End;
        }
        match self.incoming.take(&piece[..bytes]) {
            Ok(Some(request)) => {
                self.asker.asked.store(true, Ordering::Release);
                Came::Request(request)
            }
            Ok(None) => Came::Little,
            Err(error) => {
                self.asker.cut(&error.to_string());
                Came::End
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lab_model::Ticks;
    use lab_protocol::{receive_reply, send_request};

    use super::*;

    fn channels(count: usize) -> (Channels, Vec<UnixStream>) {
        let mut channels = Channels::new();
        let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().unwrap()).collect();
        let (own, other): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        channels.add(Actor(3), own).unwrap();
        (channels, other)
    }

    fn request(record: u64) -> Request {
        Request { record, draw: 0, path: b"files/f1".to_vec() }
    }

    fn carried(record: u64) -> Carried {
        let [read, begun, ended] = [1, 2, 3].map(Ticks);
        Carried { record, error: 0, read, begun, ended, operations: 0 }
    }

    fn whole(request: &Request) -> Vec<u8> {
        let mut wire = Vec::new();
        send_request(&mut wire, request).unwrap();
        wire
    }

    #[test]
    fn each_channel_carries_one_request_after_the_other() {
        let (mut channels, mut others) = channels(2);
        for record in 0..3 {
            send_request(&mut others[1], &request(record)).unwrap();
            let came = channels.read(|_| true);
            assert_eq!(came.len(), 1);
            assert_eq!((&came[0].1, came[0].0.client), (&request(record), Actor(3)));
            came[0].0.reply(&carried(record));
            assert_eq!(receive_reply(&mut others[1]).unwrap(), carried(record));
        }
        drop(others);
        assert!(channels.read(|_| true).is_empty());
        assert_eq!((channels.descriptors().count(), channels.cut_off()), (0, 0), "its end is no offence");
    }

    #[test]
    fn a_flood_is_cut_off_and_keeps_nothing() {
        let (mut channels, mut others) = channels(2);
        send_request(&mut others[0], &request(1)).unwrap();
        assert_eq!(channels.read(|_| true).len(), 1);
        send_request(&mut others[0], &request(2)).unwrap();
        send_request(&mut others[1], &request(3)).unwrap();
        let came = channels.read(|_| true);
        assert_eq!(came.len(), 1, "the other goes on");
        assert_eq!((came[0].1.record, channels.descriptors().count(), channels.cut_off()), (3, 1, 1));
        assert!(others[0].write_all(&[0]).is_err(), "nothing can be sent any more");
    }

    #[test]
    fn what_is_too_long_or_too_much_is_cut_off() {
        for wrong in [vec![0xff; 24], [whole(&request(1)), whole(&request(2))].concat(), vec![0; 5000]] {
            let (mut channels, mut others) = channels(1);
            others[0].write_all(&wrong).unwrap();
            assert!(channels.read(|_| true).is_empty());
            assert_eq!((channels.descriptors().count(), channels.cut_off()), (0, 1), "{}", wrong.len());
        }
    }

    #[test]
    fn half_a_request_waits_for_its_other_half_alone() {
        let (mut channels, mut others) = channels(2);
        let wire = whole(&request(7));
        others[0].write_all(&wire[..5]).unwrap();
        assert!(channels.read(|_| true).is_empty());
        send_request(&mut others[1], &request(8)).unwrap();
        assert_eq!(channels.read(|_| true)[0].1.record, 8);
        others[0].write_all(&wire[5..]).unwrap();
        assert_eq!(channels.read(|_| true)[0].1.record, 7);
    }

    #[test]
    fn who_does_not_read_replies_is_cut_off() {
        let (mut channels, mut others) = channels(1);
        let mut record = 0;
        while channels.cut_off() == 0 {
            record += 1;
            assert!(record < 1_000_000, "the buffer of a socket ends somewhere");
            send_request(&mut others[0], &request(record)).unwrap();
            channels.read(|_| true)[0].0.reply(&carried(record));
        }
        assert!(channels.read(|_| true).is_empty());
        assert_eq!(channels.descriptors().count(), 0);
    }

    #[test]
    fn there_are_no_more_channels_than_allowed() {
        let (mut channels, _others) = channels(1);
        let (own, _other) = UnixStream::pair().unwrap();
        let one = channels.channels.pop().unwrap();
        channels.channels.extend(
            (0..CHANNELS_MAX)
                .map(|_| Channel { asker: Arc::clone(&one.asker), incoming: Incoming::default() }),
        );
        assert!(channels.add(Actor(3), vec![own]).is_err());
        assert_eq!(channels.descriptors().count(), CHANNELS_MAX);
    }
}
