//! The floor: a `lambda_http` function that does nothing, built with the profile of the functions. No function can cost
//! less.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(hello)).await
}

async fn hello(_: Request) -> Result<Response<Body>, Error> {
    Ok(Response::new(Body::Text(r#"{"hello":"world"}"#.to_owned())))
}
