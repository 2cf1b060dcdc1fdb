//! The end of standard input: a program started with a pipe learns by it that its parent has died.

use std::io::Read as _;

/// Resolves when standard input ends. A thread of its own reads, because a blocked read of tokio's would hold up the
/// program's end. Should that thread fail, this never resolves: a program goes on without it.
pub async fn closed() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        // Nobody listens once the program is stopping for another reason.
        let _ = closed.send(());
    });
    if wait.await.is_err() {
        std::future::pending().await
    }
}
