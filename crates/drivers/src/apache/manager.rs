//! The balancer-manager, as a client.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST, REFERER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::live::{self, Live};
use super::settings::Settings;
use super::{SERVER, secured};
use crate::DriverError;

/// More than the pages of some ten thousand members have.
const MOST: usize = 64 << 20;

/// What the server has. Nothing, where it has no balancer-manager.
pub(super) async fn read(settings: &Settings) -> Result<Live, DriverError> {
    let Some(xml) = ask(settings, "?xml=1", None).await? else { return Ok(Live::default()) };
    let Some(page) = ask(settings, "", None).await? else { return Ok(Live::default()) };
    understood(&xml, &page)
}

/// Changes something of a balancer, and tells what the server has then.
pub(super) async fn change(settings: &Settings, balancer: &str, form: &str) -> Result<Live, DriverError> {
    let page = ask(settings, "", None).await?.unwrap_or_default();
    let nonce =
        live::nonce(&page, balancer).ok_or_else(|| not_understood(format!("it tells no nonce for {balancer}")))?;
    let form = format!("xml=1&b={balancer}&nonce={nonce}&{form}");
    let xml = ask(settings, "", Some(form)).await?.unwrap_or_default();
    understood(&xml, &page)
}

fn understood(xml: &str, page: &str) -> Result<Live, DriverError> {
    live::parse(xml, page).map_err(|what| not_understood(format!("the balancer-manager's page: {what}")))
}

fn not_understood(said: String) -> DriverError {
    DriverError::NotUnderstood { server: SERVER, said }
}

/// A page; none where another answers at its place.
async fn ask(settings: &Settings, query: &str, form: Option<String>) -> Result<Option<String>, DriverError> {
    let place = || format!("{}://{}{}", scheme(settings), settings.manager, settings.manager_path);
    let failed = |source| DriverError::Unreachable { server: SERVER, place: place(), source };
    let answer = timeout(settings.timeout, exchange(settings, query, form)).await;
    let late =
        |bound: Duration| std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {bound:?}"));
    let answer = answer.unwrap_or_else(|_| Err(late(settings.timeout))).map_err(failed)?;
    let is_text = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
    match answer.status() {
        StatusCode::OK if is_text => Ok(Some(String::from_utf8_lossy(answer.body()).into_owned())),
        StatusCode::NOT_FOUND | StatusCode::OK => Ok(None),
        status => Err(not_understood(format!("{} answers with {status}", place()))),
    }
}

async fn exchange(settings: &Settings, query: &str, form: Option<String>) -> std::io::Result<Response<Bytes>> {
    let (stream, request) = (TcpStream::connect(settings.manager).await?, request(settings, query, form)?);
    match &settings.manager_authorities {
        None => exchange_over(stream, request).await,
        Some(authorities) => {
            let stream = Box::pin(secured::connect(authorities, &settings.host, stream)).await?;
            exchange_over(stream, request).await
        }
    }
}

async fn exchange_over<S>(stream: S, request: Request<Full<Bytes>>) -> std::io::Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let exchanged = async move {
        let answer = sender.send_request(request).await.map_err(std::io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST).collect().await.map_err(std::io::Error::other)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    // The connection ends with the sender.
    let (_, answer) = tokio::join!(connection, exchanged);
    answer
}

/// Parameters count only for who knows the nonce, and says that it comes from the page itself.
fn request(settings: &Settings, query: &str, form: Option<String>) -> std::io::Result<Request<Full<Bytes>>> {
    let path = &settings.manager_path;
    let scheme = scheme(settings);
    let request = Request::builder()
        .method(if form.is_some() { "POST" } else { "GET" })
        .uri(format!("{path}{query}"))
        .header(HOST, &settings.host)
        .header(REFERER, format!("{scheme}://{}{path}", settings.host))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Full::from(form.unwrap_or_default())).map_err(std::io::Error::other)
}

fn scheme(settings: &Settings) -> &'static str {
    if settings.manager_authorities.is_some() { "https" } else { "http" }
}
