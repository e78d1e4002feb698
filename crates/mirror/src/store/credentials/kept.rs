use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use crate::store::http::Failure;

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
        self.get_at(source, SystemTime::now).await
    }

    async fn get_at(&self, source: &impl Source<C>, clock: impl Fn() -> SystemTime) -> Result<(C, Version), Failure> {
        let mut state = self.0.lock().await;
        let now = clock();
        if let Some(known) = state.known.as_ref().filter(|known| known.renewal.is_none_or(|renewal| renewal > now)) {
            return Ok((known.credentials.clone(), state.version));
        }
        match source.fresh().await {
            Ok(fresh) => Ok(state.keep(fresh, clock())),
            Err(failure) => {
                let version = state.version;
                let usable = state.known.as_mut().filter(|known| known.end.is_none_or(|end| end > now));
                let known = usable.ok_or_else(|| failure.clone())?;
                tracing::warn!(error = failure.detail, "cannot renew the credentials yet");
                known.renewal = Some(clock() + ASKED_AGAIN);
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
            state.keep(fresh, SystemTime::now());
        }
        Ok(())
    }
}

impl<C: Clone> State<C> {
    fn keep(&mut self, fresh: Fresh<C>, now: SystemTime) -> (C, Version) {
        let Fresh { credentials, end } = fresh;
        self.version += 1;
        let renewal = end.map(|end| renewal(now, end));
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
    use crate::store::http::Failure;

    /// So many seconds after the start of a test.
    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    /// Gives 1, 2, 3 and so on.
    struct Counter {
        given: AtomicU64,
        end: Option<SystemTime>,
        away: AtomicBool,
    }

    impl Counter {
        fn new(end: Option<SystemTime>) -> Self {
            Self { given: AtomicU64::new(0), end, away: AtomicBool::new(false) }
        }
    }

    impl Source<u64> for Counter {
        async fn fresh(&self) -> Result<Fresh<u64>, Failure> {
            if self.away.load(Ordering::SeqCst) {
                return Err(Failure::new(StoreErrorKind::IdentityUnavailable, "away"));
            }
            Ok(Fresh { credentials: self.given.fetch_add(1, Ordering::SeqCst) + 1, end: self.end })
        }
    }

    async fn got(kept: &Kept<u64>, source: &Counter, seconds: u64) -> Result<u64, StoreErrorKind> {
        let found = kept.get_at(source, || at(seconds)).await;
        found.map(|(credentials, _)| credentials).map_err(|failure| failure.kind)
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
    async fn they_are_asked_for_once_and_anew_before_they_end() {
        let (lasting, ending) = (Counter::new(None), Counter::new(Some(at(100))));
        let (kept, shared) = (Kept::default(), Kept::default());
        for seconds in [0, 74, 1000] {
            assert_eq!(got(&kept, &lasting, seconds).await, Ok(1));
        }
        for (seconds, credentials) in [(0, 1), (74, 1), (75, 2)] {
            assert_eq!(got(&shared.clone(), &ending, seconds).await, Ok(credentials), "after {seconds} s");
        }
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
        let source = Counter::new(Some(at(100)));
        let kept = Kept::default();
        assert_eq!(got(&kept, &source, 0).await, Ok(1));
        source.away.store(true, Ordering::SeqCst);
        assert_eq!(got(&kept, &source, 80).await, Ok(1));
        source.away.store(false, Ordering::SeqCst);
        assert_eq!(got(&kept, &source, 89).await, Ok(1), "it was asked ten seconds ago at most");
        source.away.store(true, Ordering::SeqCst);
        assert_eq!(got(&kept, &source, 100).await, Err(StoreErrorKind::IdentityUnavailable));
    }
}
