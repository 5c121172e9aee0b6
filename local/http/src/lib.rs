//! The HTTP/1.1 server loop and client of the local cloud.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves `handle` until the returned future is dropped, which closes every connection. A handler error closes the
/// connection without a response.
pub async fn serve<H, F, B, E>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        // Free the connections that have ended.
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors, or the client has left. Without this pause, the former would be a busy loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Responses are small and their latency is measured: do not wait for more to send.
        let _ = stream.set_nodelay(true);
        let handle = handle.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| handle(request, peer));
            // An error here is a closed connection, by the client or by the handler.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A client that follows no redirect and keeps no cookie.
#[expect(clippy::expect_used, reason = "fails only if the system's TLS roots cannot be loaded")]
pub fn client() -> reqwest::Client {
    // The workspace's reqwest has no default crypto provider. An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.build().expect("an HTTP client")
}
