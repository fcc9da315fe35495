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

/// The channel to helpers and daemons: a head and a path.
pub fn requests(data: &[u8]) {
    use lab_protocol::{PATH_BYTES_MAX, receive_asked, receive_reply};

    let mut rest = data;
    while let Ok(asked) = receive_asked(&mut rest) {
        if let lab_protocol::Asked::Request(request) = asked {
            assert!(request.path.len() <= PATH_BYTES_MAX);
            let mut wire = Vec::new();
            lab_protocol::send_request(&mut wire, &request).expect("what was received can be sent");
            let again = receive_asked(&mut wire.as_slice()).expect("and received again");
            assert_eq!(again, lab_protocol::Asked::Request(request));
        }
    }
    let mut rest = data;
    while receive_reply(&mut rest).is_ok() {}
}

/// `plan.json`, `active.json` and the note of who has the machine's daemons.
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
