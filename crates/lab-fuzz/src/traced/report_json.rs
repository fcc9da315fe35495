//! `report.json` of any bytes, or of a report with a few places changed, on every surface.

use std::sync::OnceLock;

use lab_analysis::findings::Findings;
use serde_json::Value;

use super::{bytes::Bytes, json, pages};

/// The most bytes of a report that is changed.
const DOCUMENT_BYTES_MAX: usize = 100_000;

/// The reports that every renderer is tested with, as documents.
fn reports() -> &'static [Value] {
    static REPORTS: OnceLock<Vec<Value>> = OnceLock::new();
    REPORTS.get_or_init(|| {
        let all = [
            lab_testing::reports::stable(),
            lab_testing::reports::deadlocked(),
            lab_testing::reports::beside(),
            lab_testing::reports::empty(),
        ];
        let documents = all.iter().filter_map(|findings| serde_json::to_value(findings).ok());
        // A document is copied for every input, so the large ones would only take time.
        documents.filter(|document| document.to_string().len() <= DOCUMENT_BYTES_MAX).collect()
    })
}

/// `report.json` on every surface.
pub fn report_json(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (surface, which) = (bytes.byte(), usize::from(bytes.byte()));
    let Some(report) = reports().get(which % (reports().len() + 1)) else {
        if let Ok(findings) = serde_json::from_slice::<Findings>(bytes.rest()) {
            pages::show(&findings, surface);
        }
        return;
    };
    let mut document = report.clone();
    json::change(&mut document, &mut bytes);
    if let Ok(findings) = serde_json::from_value::<Findings>(document) {
        pages::show(&findings, surface);
    }
}
