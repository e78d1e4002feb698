use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use crate::http::Failure;

/// How long before their end credentials are asked for anew: longer than any request may wait.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// How long nobody is asked again while those that are kept still do.
const ASKED_AGAIN: Duration = Duration::from_secs(10);

/// Where credentials come from.
pub(crate) trait Source<C>: Sync {
    /// New ones.
    fn fresh(&self) -> impl Future<Output = Result<Fresh<C>, Failure>> + Send;
}

/// Credentials that were just given.
pub(crate) struct Fresh<C> {
    pub(crate) credentials: C,
    /// `None` for those that do not end.
    pub(crate) end: Option<SystemTime>,
}

/// Tells credentials from those that came before and after them.
pub(crate) type Version = u64;

/// Credentials that are kept until shortly before their end. Clones share them.
pub(crate) struct Kept<C>(Arc<Mutex<State<C>>>);

struct State<C> {
    version: Version,
    known: Option<Known<C>>,
}

struct Known<C> {
    credentials: C,
    end: Option<SystemTime>,
    /// From then on new ones are asked for.
    renewal: Option<SystemTime>,
}

impl<C> Clone for Kept<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { version: 0, known: None })))
    }
}

impl<C: Clone + Send> Kept<C> {
    /// Credentials that are good for some time. While new ones cannot be had, those that have not ended are.
    pub(crate) async fn get(&self, source: &impl Source<C>) -> Result<(C, Version), Failure> {
        let mut state = self.0.lock().await;
        let now = SystemTime::now();
        if let Some(known) = state.known.as_ref().filter(|known| known.renewal.is_none_or(|renewal| renewal > now)) {
            return Ok((known.credentials.clone(), state.version));
        }
        match source.fresh().await {
            Ok(fresh) => Ok(state.keep(fresh)),
            Err(failure) => {
                let version = state.version;
                let usable = state.known.as_mut().filter(|known| known.end.is_none_or(|end| end > now));
                let known = usable.ok_or_else(|| failure.clone())?;
                tracing::warn!(error = failure.detail, "cannot renew the credentials yet");
                known.renewal = Some(SystemTime::now() + ASKED_AGAIN);
                Ok((known.credentials.clone(), version))
            }
        }
    }

    /// Has new ones in place of those that a store no longer takes. Where others were quicker, it is theirs.
    pub(crate) async fn replace(&self, refused: Version, source: &impl Source<C>) -> Result<(), Failure> {
        let mut state = self.0.lock().await;
        if state.version == refused {
            state.known = None;
            let fresh = source.fresh().await?;
            state.keep(fresh);
        }
        Ok(())
    }
}

impl<C: Clone> State<C> {
    fn keep(&mut self, fresh: Fresh<C>) -> (C, Version) {
        let Fresh { credentials, end } = fresh;
        self.version += 1;
        let renewal = end.map(|end| renewal(SystemTime::now(), end));
        self.known = Some(Known { credentials: credentials.clone(), end, renewal });
        (credentials, self.version)
    }
}

/// When to ask anew for what was given at `from`: in time, and of what lives shortly not with every request.
fn renewal(from: SystemTime, end: SystemTime) -> SystemTime {
    let lifetime = end.duration_since(from).unwrap_or_default();
    end - RENEWED_BEFORE.min(lifetime / 4)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    use super::{Fresh, Kept, Source, renewal};
    use crate::StoreErrorKind;
    use crate::http::Failure;

    /// Gives 1, 2, 3 and so on.
    struct Counter {
        given: AtomicU64,
        lifetime: Option<Duration>,
        away: AtomicBool,
    }

    impl Counter {
        fn new(lifetime: Option<Duration>) -> Self {
            Self { given: AtomicU64::new(0), lifetime, away: AtomicBool::new(false) }
        }
    }

    impl Source<u64> for Counter {
        async fn fresh(&self) -> Result<Fresh<u64>, Failure> {
            if self.away.load(Ordering::SeqCst) {
                return Err(Failure::new(StoreErrorKind::IdentityUnavailable, "away"));
            }
            let credentials = self.given.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Fresh { credentials, end: self.lifetime.map(|lifetime| SystemTime::now() + lifetime) })
        }
    }

    #[test]
    fn they_are_renewed_well_before_their_end() {
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (lifetime, after) in [(3600, 3300), (1200, 900), (100, 75), (0, 0)] {
            let found = renewal(from, from + Duration::from_secs(lifetime));
            assert_eq!(found, from + Duration::from_secs(after), "{lifetime}");
        }
    }

    #[tokio::test]
    async fn they_are_asked_for_once_and_anew_when_they_end() {
        let (lasting, short) = (Counter::new(None), Counter::new(Some(Duration::from_millis(40))));
        let (kept, ending) = (Kept::default(), Kept::default());
        for _ in 0..2 {
            assert_eq!(kept.get(&lasting).await.map_err(|failure| failure.kind), Ok((1, 1)));
            assert_eq!(ending.clone().get(&short).await.map_err(|failure| failure.kind), Ok((1, 1)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(ending.get(&short).await.map_err(|failure| failure.kind), Ok((2, 2)));
    }

    #[tokio::test]
    async fn what_a_store_refuses_is_replaced_once() {
        let source = Counter::new(None);
        let kept = Kept::default();
        let (_, version) = kept.get(&source).await.map_err(|failure| failure.kind).unwrap();
        for _ in 0..3 {
            kept.replace(version, &source).await.map_err(|failure| failure.kind).unwrap();
        }
        assert_eq!(kept.get(&source).await.map_err(|failure| failure.kind), Ok((2, 2)));
    }

    #[tokio::test]
    async fn those_that_have_not_ended_do_while_new_ones_cannot_be_had() {
        let source = Counter::new(Some(Duration::from_millis(400)));
        let kept = Kept::default();
        kept.get(&source).await.map_err(|failure| failure.kind).unwrap();
        source.away.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(320)).await;
        assert_eq!(kept.get(&source).await.map_err(|failure| failure.kind), Ok((1, 1)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let ended = kept.clone();
        ended.0.lock().await.known.as_mut().unwrap().renewal = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(kept.get(&source).await.map_err(|failure| failure.kind), Err(StoreErrorKind::IdentityUnavailable));
    }
}
