//! The answer of an endpoint on its way to a client. The request counts at the endpoint until its last byte was passed on.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use skyfleet_balance::Failure;

use crate::body::BodyError;
use crate::connections::Connection;
use crate::deadline::{Alarm, Deadline};
use crate::grpc;
use crate::idle::Idle;
use crate::record::Record;
use crate::usage::Meter;

pub(crate) struct Answer {
    /// A first piece that came already.
    first: Option<Frame<Bytes>>,
    body: Incoming,
    idle: Idle,
    limit: Duration,
    /// When it must be over, where that is limited.
    alarm: Option<Alarm>,
    /// For the next request, once this one has ended.
    connection: Option<Connection>,
    /// The request counts at its endpoint as long as this is there.
    record: Record,
    /// Where tokens are counted.
    meter: Option<Box<Meter>>,
}

impl Answer {
    pub(crate) fn new(
        (first, body): (Option<Frame<Bytes>>, Incoming),
        (limit, deadline): (Duration, Option<Deadline>),
        connection: Connection,
        (record, meter): (Record, Option<Meter>),
    ) -> Self {
        let (idle, alarm) = (Idle::new(limit), deadline.as_ref().map(Deadline::alarm));
        let (connection, meter) = (Some(connection), meter.map(Box::new));
        let mut answer = Self { first, body, idle, limit, alarm, connection, record, meter };
        if answer.is_end_stream() {
            answer.ended();
        }
        answer
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        // A stream of events has no length to be told.
        if self.first.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(alarm) = &mut self.alarm
            && let Poll::Ready(overdue) = alarm.poll(cx)
        {
            return Poll::Ready(Some(Err(self.broken_off(overdue.into()))));
        }
        let first = self.first.take().map(|first| Poll::Ready(Some(Ok(first))));
        let frame = match first.unwrap_or_else(|| Pin::new(&mut self.body).poll_frame(cx)) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                std::task::ready!(self.idle.poll_waited(cx));
                // As long as the client still sends, an answer may stand still.
                if let Some(Connection::Http2(lease)) = &mut self.connection
                    && lease.has_moved()
                {
                    self.idle.came();
                    std::task::ready!(self.idle.poll_waited(cx));
                }
                return Poll::Ready(Some(Err(self.failed(Failure::Timeout, BodyError::Idle(self.limit)))));
            }
        };
        self.idle.came();
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.record.bytes += data.len() as u64;
                    if let Some(meter) = &mut self.meter {
                        meter.take(data);
                    }
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.record.see(trailers);
                    if let Some(failure) = grpc::failure(trailers).filter(|failure| failure.is_fault()) {
                        self.record.failed(failure);
                    }
                }
                if self.body.is_end_stream() {
                    self.ended();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(self.failed(Failure::Reset, error.into()))),
            None => {
                self.ended();
                None
            }
        })
    }

    fn ended(&mut self) {
        self.record.has_ended = true;
        if let (Some(connection), Some(in_flight)) = (self.connection.take(), &self.record.in_flight) {
            self.record.worker.connections.keep(&in_flight.endpoint, connection);
        }
    }

    fn failed(&mut self, failure: Failure, error: BodyError) -> BodyError {
        self.record.failed(failure);
        self.broken_off(error)
    }

    /// By no fault of the endpoint's, as far as is said here.
    fn broken_off(&mut self, error: BodyError) -> BodyError {
        self.record.error = Some(format!("the answer broke off: {error}"));
        self.connection = None;
        error
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.record.tokens = self.meter.as_ref().and_then(|meter| meter.tokens());
    }
}
