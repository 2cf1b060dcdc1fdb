//! The lines that functions write, kept for the test.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::host::output::{GuestLine, Listener};
use crate::limits;

/// All lines of one application.
pub(super) struct Log(Arc<watch::Sender<Vec<GuestLine>>>);

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    /// What puts lines into it. Of a function that does not stop writing only the first are kept.
    pub(super) fn listener(&self) -> Listener {
        let lines = Arc::clone(&self.0);
        Arc::new(move |line| {
            lines.send_modify(|lines| {
                if lines.len() < limits::MAX_TESTED_LINES {
                    lines.push(line);
                }
            });
        })
    }

    pub(super) fn lines(&self) -> Vec<GuestLine> {
        self.0.borrow().clone()
    }

    pub(super) async fn wait_for(&self, text: &str) -> GuestLine {
        let find =
            |lines: &Vec<GuestLine>| lines.iter().find(|line| line.text.contains(text)).cloned();
        let mut lines = self.0.subscribe();
        let arrived =
            timeout(limits::TESTED_LINE_WAIT, lines.wait_for(|lines| find(lines).is_some()));
        match arrived.await {
            Ok(Ok(lines)) => find(&lines).expect("it was waited for"),
            Ok(Err(_)) | Err(_) => panic!("no function wrote {text:?}, only {:#?}", self.lines()),
        }
    }
}
