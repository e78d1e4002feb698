//! Sends a request to one endpoint after the other until one answers, and passes that answer on.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, Uri, Version, request};
use hyper::upgrade::OnUpgrade;
use skyfleet_balance::retry::{self, Attempt};
use skyfleet_balance::{Failure, NoEndpoint};

use crate::affinity;
use crate::answered::Answered;
use crate::backend::InFlight;
use crate::body::{Content, Progress, RequestBody, ResponseBody};
use crate::charging;
use crate::deadline::{Deadline, in_time, late};
use crate::exchange::{Unanswered, exchange};
use crate::headers;
use crate::hedge::Race;
use crate::openai;
use crate::outcome::Outcome;
use crate::proxy::{Client, refuse};
use crate::record::Record;
use crate::route::Route;
use crate::shadow;
use crate::unanswered::{limited, no_answer, no_endpoint, not_served, overdue};
use crate::waiting::wait;
use crate::worker::Worker;

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
        route: &Arc<Route>,
        worker: &Arc<Worker>,
        client: Client,
        mut record: Record,
    ) -> Response<ResponseBody> {
        let Some((backend, settings)) = route.backend() else {
            return refuse(&no_endpoint(NoEndpoint::Empty, route), record);
        };
        let deadline = Deadline::of(&record, route);
        // Its body has taken all of its time: that is no endpoint's fault.
        if let Some(why) = late(deadline) {
            return refuse(&overdue(why, route), record);
        }
        let who = charging::who(route, &self.head.headers, client);
        if let Err(reached) = charging::reserve(route, who, &self.content, &mut record) {
            return refuse(&limited(&reached, route), record);
        }
        let upgrade = self.prepare(client, &record);
        let may_hedge = upgrade.is_none() && self.may_be_hedged();
        if let Some(hedges) = &route.hedges {
            hedges.begin();
        }
        let (affinity, session) = match &route.config.affinity {
            None => (None, None),
            Some(affinity) => affinity::of(affinity, (&self.head, &self.content), client, worker),
        };
        if route.shadow.is_some() && upgrade.is_none() {
            shadow::copy(route, &self, affinity, worker);
        }
        if let Some(model) = &settings.model {
            self.ask_for(model);
        }
        let mut tried = Vec::new();
        loop {
            let picked = match backend.pick(affinity, &tried) {
                Ok(in_flight) => in_flight,
                Err(_) if tried.is_empty() && backend.queues() => match Box::pin(wait(backend, who, deadline)).await {
                    Ok(in_flight) => in_flight,
                    Err(why) => return refuse(&not_served(&why, route), record),
                },
                Err(why) => return refuse(&no_endpoint(why, route), record),
            };
            // Kept there: when the client leaves, all of this is dropped, and the record tells who was asked.
            let in_flight = record.in_flight.insert(picked);
            record.attempts += 1;
            // What only some routes ask for is apart, and large: what each request carries along stays small without it.
            let outcome = if let Some(hedges) = route.hedges.as_deref().filter(|_| may_hedge) {
                let race = Race { hedges, outgoing: &self, route, worker, backend, affinity, deadline };
                Box::pin(race.run((in_flight, &mut record.is_hedged), &mut tried)).await
            } else if route.config.timeouts.request.is_none() {
                self.attempt(route, worker, in_flight).await
            } else {
                let attempt = in_time(deadline, self.attempt(route, worker, in_flight));
                Box::pin(attempt).await.unwrap_or_else(Outcome::Overdue)
            };
            record.first_byte = record.began.elapsed();
            let failure = outcome.failure(self.content.is_coming());
            if let Some(failure) = failure {
                in_flight.failed(failure);
                let has_time = late(deadline).is_none();
                if has_time && self.may_retry(&outcome, failure, record.attempts, route) && backend.may_retry() {
                    tried.push(in_flight.tried);
                    record.in_flight = None;
                    continue;
                }
            } else {
                in_flight.first_byte();
            }
            return match outcome {
                Outcome::Answered(answered) => {
                    let mut response = answered.pass(upgrade, route, record);
                    if let Some(session) = session {
                        session.begin(response.headers_mut());
                    }
                    response
                }
                Outcome::Failed(error) => {
                    let refusal = no_answer(&error, in_flight, record.attempts);
                    refuse(&refusal, record)
                }
                Outcome::Overdue(why) => refuse(&overdue(why, route), record),
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

    /// Asks for another model than the client does.
    fn ask_for(&mut self, model: &str) {
        if let Content::Whole(Some(body)) = &mut self.content
            && let Some(changed) = openai::with_model(body, model)
        {
            self.head.headers.insert(CONTENT_LENGTH, changed.len().into());
            *body = changed;
        }
    }

    async fn attempt(&mut self, route: &Route, worker: &Arc<Worker>, in_flight: &InFlight) -> Outcome {
        let body = match &mut self.content {
            Content::Whole(body) => RequestBody::Whole(body.clone()),
            Content::Streamed(body) => body.take().unwrap_or(RequestBody::Whole(None)),
            Content::Kept(replay) => replay.reader().map_or(RequestBody::Whole(None), RequestBody::Kept),
        };
        let upstream = route.upstream();
        let request = Request::from_parts(self.head.clone(), body);
        let (timeouts, progress) = (&route.config.timeouts, &self.progress);
        // As `ask` does it; but each future around another one keeps the request once more, and this one is there for every request.
        let error = match exchange(worker, &in_flight.endpoint, request, (timeouts, progress), upstream).await {
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

    /// The same request once more, of one that is here whole.
    pub(crate) fn copy(&self) -> Request<RequestBody> {
        let body = match &self.content {
            Content::Whole(body) => body.clone(),
            Content::Streamed(_) | Content::Kept(_) => None,
        };
        Request::from_parts(self.head.clone(), RequestBody::Whole(body))
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether to do it twice is as good as once, and it is here to be sent twice.
    fn may_be_hedged(&self) -> bool {
        self.may_be_done_twice() && matches!(self.content, Content::Whole(_))
    }

    fn may_be_done_twice(&self) -> bool {
        self.is_inference || self.head.method.is_idempotent()
    }

    fn may_retry(&self, outcome: &Outcome, failure: Failure, attempts: u32, route: &Route) -> bool {
        // Another endpoint may say otherwise only of these; what is wrong with a request would take one down after the other.
        let is_worth_it = match outcome {
            Outcome::Answered(answered) => answered.is_of_another_one(),
            Outcome::Failed(_) => true,
            Outcome::Overdue(_) => false,
        };
        let left = (route.config.retries.attempts + 1).saturating_sub(attempts);
        let attempt = Attempt {
            failure,
            is_idempotent: self.may_be_done_twice(),
            is_kept: match &self.content {
                Content::Whole(_) => true,
                Content::Streamed(body) => body.is_some(),
                Content::Kept(replay) => replay.is_whole(),
            },
            is_answered: false,
            left,
        };
        is_worth_it && retry::allow(&attempt).is_ok()
    }
}
