//! What the servers of the local cloud share: taking connections in.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Waits for the next connection, and meanwhile lets go of those of `connections` that have ended.
pub(crate) async fn accept(listener: &TcpListener, connections: &mut JoinSet<()>) -> (TcpStream, SocketAddr) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Answers here are small and latency is what is measured: do not wait for more to send.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                // Out of descriptors, or a client that left before it was accepted: the next one may do better, after a
                // moment, because the first of the two would otherwise turn this into a busy loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
