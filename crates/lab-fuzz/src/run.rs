//! What the lab's own processes tell each other, and the files of a run.

use lab_protocol::{FRAME_BYTES_MAX, FrameError, Order, Reply, receive, send};
use serde::{Serialize, de::DeserializeOwned};

/// Reads message after message until the bytes end or mean nothing; each means the same when it is sent again.
fn all<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let mut rest = data;
    loop {
        let before = rest.len();
        match receive::<T>(&mut rest) {
            Ok(message) => {
                assert!(before - rest.len() > 4);
                let mut wire = Vec::new();
                send(&mut wire, &message).expect("what was received can be sent");
                assert_eq!(receive::<T>(&mut wire.as_slice()).expect("and received again"), message);
            }
            Err(FrameError::TooLong(length)) => {
                assert!(length > FRAME_BYTES_MAX);
                return;
            }
            Err(_) => return,
        }
    }
}

/// The control connection: frames of JSON, and the same bytes as the body of one frame.
pub fn frames(data: &[u8]) {
    all::<Order>(data);
    all::<Reply>(data);
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let framed = [&length.to_le_bytes()[..], data].concat();
    all::<Order>(&framed);
    all::<Reply>(&framed);
}

/// The channel to helpers and daemons: a request in pieces of any size, and replies. The first byte says how large the
/// pieces are.
pub fn requests(data: &[u8]) {
    use lab_protocol::{Incoming, REQUEST_BYTES_MAX, receive_reply, reply_bytes, send_request};

    let (size, rest) = data.split_first().map_or((1, data), |(size, rest)| (usize::from(*size).max(1), rest));
    let mut incoming = Incoming::default();
    let mut taken = 0;
    for piece in rest.chunks(size) {
        taken += piece.len();
        match incoming.take(piece) {
            Ok(Some(request)) => {
                assert!(incoming.is_empty());
                let mut wire = Vec::new();
                send_request(&mut wire, &request).expect("what was received can be sent");
                assert!(wire.len() == taken && wire == rest[..taken], "a request is its bytes");
                let again = Incoming::default().take(&wire).expect("and received again");
                assert_eq!(again, Some(request));
                break;
            }
            Ok(None) => assert!(taken < REQUEST_BYTES_MAX),
            Err(_) => break,
        }
    }
    let mut replies = data;
    while let Ok(carried) = receive_reply(&mut replies) {
        let bytes = reply_bytes(&carried);
        assert_eq!(receive_reply(&mut bytes.as_slice()).expect("it was just written"), carried);
    }
}

/// The plan that a controller is handed over a pipe, `active.json`, and the note of who has the machine's daemons.
#[cfg(feature = "run-files")]
pub fn run_files(data: &[u8]) {
    use lab_orchestrator::{Active, Plan, ProcessName};

    crate::read_only(serde_json::from_slice::<ProcessName>(data));
    crate::read_only(serde_json::from_slice::<Active>(data));
    let Ok(plan) = serde_json::from_slice::<Plan>(data) else { return };
    let text = serde_json::to_vec(&plan).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Plan>(&text).expect("and read again"), plan);
    crate::read_only(lab_config::to_yaml(&plan.lab));
}
