//! How many more Endpoint Security clients can connect now, found out by connecting.

use std::{fmt, str::FromStr};

use crate::NewClientResult;

/// How many clients could connect at once, and what was said to the one that could not.
///
/// It is a count of the slots that are free at this moment: other products take theirs from the same number, and
/// connecting empties everyone's result caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Clients that were connected together.
    pub connected: u32,
    /// What refused the next one; `None` when as many connected as were tried.
    pub refused: Option<NewClientResult>,
}

impl Probed {
    /// Connects one client after the other, at most `max`, and lets go of them all, the last one first.
    pub fn of<C>(max: u32, mut connect: impl FnMut() -> Result<C, NewClientResult>) -> Probed {
        let mut held = Vec::new();
        let mut refused = None;
        for _ in 0..max {
            match connect() {
                Ok(client) => held.push(client),
                Err(refusal) => {
                    refused = Some(refusal);
                    break;
                }
            }
        }
        let connected = u32::try_from(held.len()).unwrap_or(max);
        while held.pop().is_some() {}
        Probed { connected, refused }
    }

    /// What a single client would have been told.
    #[must_use]
    pub const fn first(&self) -> NewClientResult {
        match self.refused {
            Some(refusal) if self.connected == 0 => refusal,
            _ => NewClientResult::Success,
        }
    }
}

impl fmt::Display for Probed {
    /// Writes one line that [`Probed::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connected", self.connected)?;
        match self.refused {
            Some(refusal) => write!(f, ", then {refusal}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Probed {
    type Err = ();

    fn from_str(line: &str) -> Result<Probed, ()> {
        let (count, rest) = line.trim().split_once(" connected").ok_or(())?;
        let connected = count.parse().map_err(|_| ())?;
        if rest.is_empty() {
            return Ok(Probed { connected, refused: None });
        }
        let refused = NewClientResult::of_message(rest).ok_or(())?;
        Ok(Probed { connected, refused: Some(refused) })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A client of a machine that counts them.
    struct Client<'a>(&'a Cell<u32>);

    impl Drop for Client<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    #[test]
    fn slots_are_counted_and_given_back() {
        let (taken, most) = (Cell::new(3), Cell::new(0));
        let connect = || {
            if taken.get() == 48 {
                return Err(NewClientResult::TooManyClients);
            }
            taken.set(taken.get() + 1);
            most.set(most.get().max(taken.get()));
            Ok(Client(&taken))
        };
        let probed = Probed::of(256, connect);
        assert_eq!(probed, Probed { connected: 45, refused: Some(NewClientResult::TooManyClients) });
        assert_eq!((taken.get(), most.get()), (3, 48));
        assert_eq!(Probed::of(10, connect), Probed { connected: 10, refused: None });
        assert_eq!(probed.first(), NewClientResult::Success);
        let refused = Probed::of(10, || Err::<(), _>(NewClientResult::NotPermitted));
        assert_eq!((refused.connected, refused.first()), (0, NewClientResult::NotPermitted));
    }

    #[test]
    fn a_line_reads_back() {
        for refused in [None, Some(NewClientResult::TooManyClients), Some(NewClientResult::Other(9))] {
            let probed = Probed { connected: 12, refused };
            assert_eq!(probed.to_string().parse(), Ok(probed), "{probed}");
        }
        for line in ["", "connected", "x connected", "3 connected, then something"] {
            assert_eq!(line.parse::<Probed>(), Err(()), "{line}");
        }
    }
}
