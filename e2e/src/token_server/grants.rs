use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Credentials that were given. Clones share them.
#[derive(Debug, Clone)]
pub struct Grants(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    valid: Duration,
    said: Duration,
    /// When each token ends.
    ends: HashMap<String, Instant>,
}

/// A token, which is also the identifier and the secret of a key.
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) said: Duration,
}

impl Grant {
    pub(super) fn end(&self) -> jiff::Timestamp {
        jiff::Timestamp::try_from(SystemTime::now() + self.said).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl Default for Grants {
    fn default() -> Self {
        let hour = Duration::from_hours(1);
        Self(Arc::new(Mutex::new(Book { valid: hour, said: hour, ends: HashMap::new() })))
    }
}

impl Grants {
    // What a panic left behind is still what it was.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_lifetime(&self, valid: Duration, said: Duration) {
        let mut book = self.book();
        (book.valid, book.said) = (valid, said);
    }

    /// How many were given so far.
    #[must_use]
    pub fn given(&self) -> usize {
        self.book().ends.len()
    }

    /// Ends all that were given.
    pub fn revoke(&self) {
        self.book().ends.values_mut().for_each(|end| *end = Instant::now());
    }

    /// Whether a token was given and has not ended.
    #[must_use]
    pub fn is_good(&self, token: &str) -> bool {
        self.book().ends.get(token).is_some_and(|end| *end > Instant::now())
    }

    /// Whether a token was given at some time.
    #[must_use]
    pub fn is_known(&self, token: &str) -> bool {
        self.book().ends.contains_key(token)
    }

    pub(super) fn give(&self, prefix: &str) -> Grant {
        let mut book = self.book();
        let token = format!("{prefix}{}", book.ends.len());
        book.note(token)
    }

    /// As Entra gives them: signed by nobody, since Azurite does not look at signatures.
    pub(super) fn give_for_azure(&self, tenant: &str) -> Grant {
        let mut book = self.book();
        let second = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = SystemTime::now();
        let claims = json!({
            "aud": "https://storage.azure.com", "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": second(now), "nbf": second(now), "exp": second(now + book.valid), "jti": book.ends.len().to_string(),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.bm9uZQ", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
        book.note(token)
    }
}

impl Book {
    fn note(&mut self, token: String) -> Grant {
        self.ends.insert(token.clone(), Instant::now() + self.valid);
        Grant { token, said: self.said }
    }
}
