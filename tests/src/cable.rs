//! A cable between two programs that a test can cut and mend.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a port, until it is cut: then those that are open end, and new ones end at once.
pub struct Cable {
    /// The near end.
    pub port: u16,
    whole: watch::Sender<bool>,
}

impl Cable {
    /// Lays a cable to a port on loopback.
    pub async fn to(far_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            // It ends when the cable is dropped with its test.
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, far_port, state.clone()));
            }
        });
        Self { port, whole }
    }

    /// Cuts it, with all that goes over it.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut near: TcpStream, far_port: u16, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], far_port))).await else {
        return;
    };
    let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
