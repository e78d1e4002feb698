//! Sends a request to one endpoint after the other until one answers, and passes that answer on.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, Uri, Version, request};
use hyper::upgrade::OnUpgrade;
use skyfleet_balance::affinity::{hash, prefix_key};
use skyfleet_balance::retry::{self, Attempt};
use skyfleet_balance::{Failure, NoEndpoint};

use crate::answered::Answered;
use crate::backend::InFlight;
use crate::body::{Progress, RequestBody, ResponseBody};
use crate::config::{Affinity, AffinityBy};
use crate::cookie::{self, Session};
use crate::deadline::{Deadline, Overdue, in_time};
use crate::exchange::{ExchangeError, Unanswered, exchange};
use crate::headers;
use crate::openai;
use crate::proxy::{Client, refuse};
use crate::record::Record;
use crate::route::Route;
use crate::unanswered::{limited, no_answer, no_endpoint, not_served, overdue};
use crate::waiting::wait;
use crate::worker::Worker;

/// What a client sends as the body.
pub(crate) enum Content {
    /// All of it is here.
    Whole(Option<Bytes>),
    /// It comes from the client; `None` once a part of it was sent.
    Streamed(Option<RequestBody>),
}

/// A request on its way to endpoints.
pub(crate) struct Outgoing {
    head: request::Parts,
    host: HeaderValue,
    content: Content,
    /// Of what is sent.
    progress: Progress,
    /// It is known what it asks for: inference, which may be asked for twice.
    is_inference: bool,
}

/// What became of an attempt.
enum Outcome {
    Answered(Box<Answered>),
    Failed(ExchangeError),
    /// It was not there when the request had to be over.
    Overdue(Overdue),
}

impl Outgoing {
    pub(crate) fn new(
        (head, host): (request::Parts, HeaderValue),
        (content, progress): (Content, Progress),
        is_inference: bool,
    ) -> Self {
        Self { head, host, content, progress, is_inference }
    }

    pub(crate) async fn send(
        mut self,
        route: &Route,
        worker: &Arc<Worker>,
        client: Client,
        mut record: Record,
    ) -> Response<ResponseBody> {
        let Some((backend, settings)) = route.backend() else {
            return refuse(&no_endpoint(NoEndpoint::Empty, route), record, worker);
        };
        let who = self.client(route, client);
        if let Some(limiter) = &route.limiter {
            let (prompt, answer) = self.expected_tokens(route);
            record.prompt_tokens = prompt;
            match limiter.reserve(who, prompt.saturating_add(answer)) {
                Ok(charge) => record.charge = Some(charge),
                Err(reached) => return refuse(&limited(&reached, route), record, worker),
            }
        }
        if let (Content::Whole(Some(body)), Some(model)) = (&mut self.content, &settings.model)
            && let Some(changed) = openai::with_model(body, model)
        {
            *body = changed;
        }
        let upgrade = self.prepare(client, &record);
        let deadline = Deadline::of(&record, route);
        let (affinity, session) = match &route.config.affinity {
            None => (None, None),
            Some(affinity) => self.affinity(affinity, client, worker),
        };
        let mut tried = Vec::new();
        loop {
            let in_flight = match backend.pick(affinity, &tried) {
                Ok(in_flight) => in_flight,
                Err(_) if tried.is_empty() && backend.queues() => match Box::pin(wait(backend, who, deadline)).await {
                    Ok(in_flight) => in_flight,
                    Err(why) => return refuse(&not_served(&why, route), record, worker),
                },
                Err(why) => return refuse(&no_endpoint(why, route), record, worker),
            };
            record.attempts += 1;
            let outcome = if deadline.is_none() {
                self.attempt(route, worker, &in_flight).await
            } else {
                let attempt = in_time(deadline, self.attempt(route, worker, &in_flight));
                Box::pin(attempt).await.unwrap_or_else(Outcome::Overdue)
            };
            record.first_byte = record.began.elapsed();
            let failure = self.failure(&outcome);
            if let Some(failure) = failure {
                in_flight.failed(failure);
                let is_over = deadline.is_some_and(|deadline| deadline.is_over());
                if !is_over && self.may_retry(&outcome, failure, &record, route) && backend.may_retry() {
                    tried.push(in_flight.tried);
                    continue;
                }
            } else {
                in_flight.first_byte();
            }
            return match outcome {
                Outcome::Answered(answered) => {
                    let mut response = answered.pass((in_flight, upgrade), route, worker, record);
                    if let Some(session) = session {
                        session.begin(response.headers_mut());
                    }
                    response
                }
                Outcome::Failed(error) => {
                    let refusal = no_answer(&error, &in_flight, record.attempts);
                    refuse(&refusal, record, worker)
                }
                Outcome::Overdue(why) => refuse(&overdue(why, route), record, worker),
            };
        }
    }

    /// Makes the head what endpoints are to get. Gives back how the connection to the client becomes another protocol's.
    fn prepare(&mut self, client: Client, record: &Record) -> Option<(HeaderValue, OnUpgrade)> {
        let protocol = headers::upgrade(&self.head.headers);
        let upgrade = protocol.zip(self.head.extensions.remove::<OnUpgrade>());
        headers::remove_of_one_connection(&mut self.head.headers);
        headers::forward(&mut self.head.headers, (client.address.ip(), client.scheme), &self.host, &record.trace);
        if let Some((protocol, _)) = &upgrade {
            headers::set_upgrade(&mut self.head.headers, protocol.clone());
        }
        if let Content::Whole(Some(body)) = &self.content {
            self.head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        if self.head.uri.authority().is_some() {
            let path = self.head.uri.path_and_query().cloned();
            self.head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        self.head.version = Version::HTTP_11;
        upgrade
    }

    async fn attempt(&mut self, route: &Route, worker: &Arc<Worker>, in_flight: &InFlight) -> Outcome {
        let body = match &mut self.content {
            Content::Whole(body) => RequestBody::Whole(body.clone()),
            Content::Streamed(body) => body.take().unwrap_or(RequestBody::Whole(None)),
        };
        let request = Request::from_parts(self.head.clone(), body);
        let (timeouts, progress) = (&route.config.timeouts, &self.progress);
        let error = match exchange(worker, &in_flight.endpoint, request, (timeouts, progress)).await {
            Ok(exchanged) => match Answered::of(exchanged, route).await {
                Ok(answered) => return Outcome::Answered(Box::new(answered)),
                Err(error) => error,
            },
            Err(Unanswered { error, unsent }) => {
                if let (Content::Streamed(body), Some(unsent)) = (&mut self.content, unsent) {
                    *body = Some(unsent.into_body());
                }
                error
            }
        };
        Outcome::Failed(error)
    }

    /// Who asks, as far as limits and queues tell clients apart.
    fn client(&self, route: &Route, client: Client) -> u64 {
        let header = route.config.limits.client_header.as_ref();
        match header.and_then(|name| self.head.headers.get(name)) {
            Some(value) => hash(value.as_bytes()),
            None => hash(client.address.ip().to_string().as_bytes()),
        }
    }

    fn expected_tokens(&self, route: &Route) -> (u64, u64) {
        match &self.content {
            Content::Whole(Some(body)) if route.config.limits.counts_tokens() => openai::expected_tokens(body),
            Content::Whole(_) | Content::Streamed(_) => (0, 0),
        }
    }

    /// What the request has in common with others that go to the same endpoint, and the session that begins with it.
    fn affinity(&self, affinity: &Affinity, client: Client, worker: &Worker) -> (Option<u64>, Option<Box<Session>>) {
        let key = match &affinity.by {
            AffinityBy::Cookie { name, ttl } => {
                if let Some(value) = cookie::value(&self.head.headers, name) {
                    return (Some(hash(value)), None);
                }
                let session = Session::new(name, *ttl, client.scheme, worker.random());
                return (Some(session.key), Some(Box::new(session)));
            }
            AffinityBy::Header(name) => self.head.headers.get(name).map(|value| hash(value.as_bytes())),
            AffinityBy::ClientAddress => Some(hash(client.address.ip().to_string().as_bytes())),
            AffinityBy::PromptPrefix(bytes) => match &self.content {
                Content::Whole(Some(body)) => openai::prompt(body).and_then(|prompt| prefix_key(prompt, *bytes, 1)),
                Content::Whole(None) | Content::Streamed(_) => None,
            },
        };
        (key, None)
    }

    /// What an outcome says of the endpoint.
    fn failure(&self, outcome: &Outcome) -> Option<Failure> {
        match outcome {
            Outcome::Answered(answered) => answered.failure(),
            Outcome::Failed(error) => Some(error.failure()),
            // Where the client still sends, it may be what is slow.
            Outcome::Overdue(_) if matches!(self.content, Content::Streamed(_)) => Some(Failure::Cancelled),
            Outcome::Overdue(_) => Some(Failure::Timeout),
        }
    }

    fn may_retry(&self, outcome: &Outcome, failure: Failure, record: &Record, route: &Route) -> bool {
        // Another endpoint may say otherwise only of these; what is wrong with a request would take one down after the other.
        let is_worth_it = match outcome {
            Outcome::Answered(answered) => answered.is_of_another_one(),
            Outcome::Failed(_) => true,
            Outcome::Overdue(_) => false,
        };
        let left = (route.config.retries.attempts + 1).saturating_sub(record.attempts);
        let attempt = Attempt {
            failure,
            is_idempotent: self.is_inference || self.head.method.is_idempotent(),
            is_kept: matches!(self.content, Content::Whole(_) | Content::Streamed(Some(_))),
            is_answered: false,
            left,
        };
        is_worth_it && retry::allow(&attempt).is_ok()
    }
}
