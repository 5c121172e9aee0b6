//! The AWS SDK's HTTP connector, over `shared/upstream`.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use upstream::{Failure, FailureKind, Http, Response};

/// Limit for one attempt, after which the SDK makes another.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Clone, Debug)]
struct Connector(Http);

/// An HTTP client for the SDK.
pub(crate) fn client(http: Http) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(http));
    http_client_fn(move |_, _| connector.clone())
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (parts, body) = request.into_parts();
            // DynamoDB's requests are never streamed.
            let body = body.bytes().map(Bytes::copy_from_slice);
            let received = http
                .send(parts.method, &parts.uri.to_string(), parts.headers, body, ATTEMPT_TIMEOUT)
                .await
                .map_err(connector_error)?;
            response(received)
        })
    }
}

fn response(received: Response) -> Result<HttpResponse, ConnectorError> {
    let mut response = http::Response::new(SdkBody::from(received.body));
    *response.status_mut() = received.status;
    *response.headers_mut() = received.headers;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// Classifies a failure for the SDK's retry policy.
fn connector_error(failure: Failure) -> ConnectorError {
    match failure.kind {
        FailureKind::Timeout => ConnectorError::timeout(failure.into()),
        FailureKind::Connect | FailureKind::Broken => ConnectorError::io(failure.into()),
    }
}
