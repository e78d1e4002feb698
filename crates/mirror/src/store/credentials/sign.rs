use http::{Method, Request};

use super::Version;
use crate::store::http::{Chunks, Failure};
use crate::{Checksum, StoreErrorKind};

/// What signs requests.
pub(crate) trait Sign: Sync {
    /// Signs a request with the checksum of its body, and says with which credentials where there may be newer ones.
    fn signed(
        &self,
        request: Request<Chunks>,
        body: Option<Checksum>,
    ) -> impl Future<Output = Result<(Request<Chunks>, Option<Version>), Failure>> + Send;

    /// Has new credentials in place of those that the store no longer takes.
    fn replace(&self, refused: Version) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Nothing is signed for nobody.
impl<S: Sign> Sign for Option<S> {
    async fn signed(
        &self,
        request: Request<Chunks>,
        body: Option<Checksum>,
    ) -> Result<(Request<Chunks>, Option<Version>), Failure> {
        match self {
            Some(signer) => signer.signed(request, body).await,
            None => Ok((request, None)),
        }
    }

    async fn replace(&self, refused: Version) -> Result<(), Failure> {
        match self {
            Some(signer) => signer.replace(refused).await,
            None => Ok(()),
        }
    }
}

/// Signs and sends a request; where the store says that the credentials have expired, once more with new ones. They may end
/// before it was said that they would: an administrator takes them back, or a clock is wrong.
pub(crate) async fn exchange<T, F>(
    signer: &impl Sign,
    request: Request<Chunks>,
    body: Option<Checksum>,
    send: impl Fn(Request<Chunks>) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let again = request.clone();
    let (ready, version) = signer.signed(request, body).await?;
    match (send(ready).await, version) {
        (Err(failure), Some(version)) if may_be_expired(&again, &failure) => {
            tracing::debug!(said = failure.detail, "the credentials have expired: trying once more with new ones");
            signer.replace(version).await?;
            let (ready, _) = signer.signed(again, body).await?;
            send(ready).await
        }
        (outcome, _) => outcome,
    }
}

/// An answer to HEAD has no body: S3's, when credentials have expired, is a bare 400.
fn may_be_expired(request: &Request<Chunks>, failure: &Failure) -> bool {
    match failure.kind {
        StoreErrorKind::CredentialsExpired => true,
        StoreErrorKind::Rejected => request.method() == Method::HEAD,
        _ => false,
    }
}
