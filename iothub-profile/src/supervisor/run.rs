//! The task behind a client: watches its connection, renews its token, connects again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use amqp_codec::Timestamp;
use amqp_transport::{cbs::renew_in, recovery::Backoff};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    endpoint::Target,
    failure,
    live::Live,
    options::{ClientOptions, ReconnectPolicy},
    status::ConnectionStatus,
};
use crate::{
    clock::{unix_millis, unix_seconds},
    error::{Error, ErrorKind},
    events::redirect,
    sas::SasToken,
};

/// What the task and its owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ClientOptions,
    pub(crate) status: watch::Sender<ConnectionStatus>,
    pub(crate) closing: watch::Sender<bool>,
    state: watch::Sender<State>,
    target: Target,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Live(Arc<Live>),
    Over(Error),
}

/// Why a connection is not attended to any more.
enum Ended {
    /// It was lost; another is to be made.
    Lost(Error),
    /// Its token ends soon and can only be renewed by connecting anew.
    Renewal,
    /// The owner closes the client.
    Closing,
}

impl Shared {
    pub(crate) fn new(target: Target, options: ClientOptions) -> Self {
        Self {
            options,
            status: watch::Sender::new(ConnectionStatus::Connecting),
            closing: watch::Sender::new(false),
            state: watch::Sender::new(State::Waiting),
            target,
        }
    }

    /// Connects once, within the connect timeout for each step on the way.
    pub(crate) async fn establish(&self, generation: u64) -> Result<Arc<Live>, Error> {
        let attempt = async {
            match &self.target {
                Target::Hub(endpoint) => endpoint.connect(&self.options).await,
                Target::Telemetry { hub, group } => redirect::follow(hub, group, &self.options).await,
                Target::EventHub(endpoint, event_hub) => {
                    let mut established = endpoint.connect(&self.options).await?;
                    established.event_hub = Some(event_hub.clone());
                    Ok(established)
                }
            }
        };
        let steps =
            if matches!(self.target, Target::Telemetry { .. }) { STEPS_TO_EVENT_HUB } else { STEPS_TO_HUB };
        let limit = self.options.connect_timeout.saturating_mul(steps);
        match timeout(limit, attempt).await {
            Ok(established) => Ok(Arc::new(Live::new(generation, established?))),
            Err(_) => {
                Err(Error::new(ErrorKind::Unreachable, "connecting took longer than the connect timeout"))
            }
        }
    }

    pub(crate) fn publish_live(&self, live: &Arc<Live>) {
        self.state.send_replace(State::Live(Arc::clone(live)));
        self.status.send_replace(ConnectionStatus::Connected { generation: live.generation });
    }

    /// The connection, once there is one that works.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Error> {
        if let State::Live(live) = &*self.state.borrow()
            && !live.is_condemned()
        {
            return Ok(Arc::clone(live));
        }
        let mut changes = self.state.subscribe();
        loop {
            let state = changes.borrow_and_update().clone();
            match state {
                State::Live(live) if !live.is_condemned() => return Ok(live),
                State::Over(error) => return Err(error),
                State::Live(_) | State::Waiting => {}
            }
            if changes.changed().await.is_err() {
                return Err(closed());
            }
        }
    }

    fn publish_waiting(&self, attempt: u32, cause: Error, pause: Duration) {
        self.state.send_replace(State::Waiting);
        self.status.send_replace(ConnectionStatus::Reconnecting { attempt, cause, pause });
    }

    fn publish_over(&self, status: ConnectionStatus) {
        let error = match &status {
            ConnectionStatus::Failed(error) => error.clone(),
            _ => closed(),
        };
        self.state.send_replace(State::Over(error));
        self.status.send_replace(status);
    }

    async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives in `self`, so waiting ends only when closing begins.
        let _ = closing.wait_for(|closing| *closing).await;
    }
}

/// Keeps a client connected until its owner closes it or an error comes that does not pass.
pub(crate) async fn run(shared: Arc<Shared>, mut live: Arc<Live>) {
    let mut attempts = 0;
    loop {
        let ended = attend(&shared, &live, &mut attempts).await;
        live.condemn();
        let (cause, policy) = match ended {
            Ended::Lost(error) => {
                let error = ended_token(&shared, &live).unwrap_or(error);
                tracing::warn!(generation = live.generation, %error, "connection lost");
                (error, shared.options.reconnect)
            }
            Ended::Renewal => {
                let cause = Error::new(ErrorKind::Unreachable, "connecting anew with a fresh token");
                (cause, policy_of_renewal(&shared.options))
            }
            Ended::Closing => {
                part(&live, Farewell::Drain).await;
                shared.publish_over(ConnectionStatus::Closed);
                return;
            }
        };
        let planned = cause.condition().is_none() && live.connection.is_open();
        shared.publish_waiting(attempts.saturating_add(1), cause.clone(), Duration::ZERO);
        part(&live, if planned { Farewell::Drain } else { Farewell::AtOnce }).await;
        match reconnect(&shared, policy, live.generation.saturating_add(1), cause, &mut attempts).await {
            Ok(next) => live = next,
            Err(status) => {
                shared.publish_over(status);
                return;
            }
        }
        shared.publish_live(&live);
        tracing::info!(generation = live.generation, "connected again");
    }
}

/// Watches a connection and renews its token until something ends it. A connection that has lasted a while makes the
/// next reconnect start counting afresh.
async fn attend(shared: &Shared, live: &Live, attempts: &mut u32) -> Ended {
    let mut token = live.token.clone();
    let mut renewal = Box::pin(maybe_sleep(until_renewal(token.as_ref(), shared.options.clock.now())));
    let mut settled = Box::pin(sleep(SETTLED_AFTER));
    let mut is_settled = false;
    loop {
        tokio::select! {
            biased;
            () = shared.closing() => return Ended::Closing,
            reason = live.connection.closed() => return Ended::Lost(failure::of_lost_connection(&reason)),
            () = live.condemned() => {
                return Ended::Lost(Error::new(ErrorKind::Unreachable, "the session ended"));
            }
            () = &mut settled, if !is_settled => {
                is_settled = true;
                *attempts = 0;
            }
            () = &mut renewal => {
                let renewed = tokio::select! {
                    biased;
                    () = shared.closing() => return Ended::Closing,
                    reason = live.connection.closed() => {
                        return Ended::Lost(failure::of_lost_connection(&reason));
                    }
                    renewed = renew(shared, live, token.as_ref()) => renewed,
                };
                let pause = match renewed {
                    Ok(Some(fresh)) => {
                        let pause = until_renewal(Some(&fresh), shared.options.clock.now());
                        token = Some(fresh);
                        pause
                    }
                    Ok(None) => until_next_question(token.as_ref(), shared.options.clock.now()),
                    Err(ended) => return ended,
                };
                renewal = Box::pin(maybe_sleep(pause));
            }
        }
    }
}

/// That the token has ended and the credential has no other: the reason for a loss, whatever the peer called it.
fn ended_token(shared: &Shared, live: &Live) -> Option<Error> {
    let is_over = live.token.as_ref()?.is_expired_at(unix_seconds(shared.options.clock.now()));
    let refused = live.endpoint.token(&shared.options).err().filter(|_| is_over)?;
    (refused.kind() == ErrorKind::Credential).then_some(refused)
}

/// Puts a fresh token on the live link. `Ok(None)` where the credential has nothing fresher yet: it is to be asked again,
/// as a provider may keep a token for longer than this side does.
async fn renew(shared: &Shared, live: &Live, old: Option<&SasToken>) -> Result<Option<SasToken>, Ended> {
    let mut attempt = 0;
    loop {
        let fresh = match live.endpoint.token(&shared.options) {
            Ok(Some(fresh)) if old.is_none_or(|old| fresh.expiry() > old.expiry()) => fresh,
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::warn!(%error, "no fresh token yet");
                return Ok(None);
            }
        };
        let Some(cbs) = &live.cbs else { return Err(Ended::Renewal) };
        let error = match live.endpoint.put_token(cbs, &fresh).await {
            Ok(()) => {
                tracing::debug!(generation = live.generation, "token renewed");
                return Ok(Some(fresh));
            }
            Err(error) => error,
        };
        attempt += 1;
        tracing::warn!(attempt, %error, "token not renewed");
        if attempt >= RENEWAL_ATTEMPTS || !live.connection.is_open() {
            return Err(Ended::Lost(error));
        }
        sleep(Backoff::NORMAL.next_delay(attempt.saturating_add(1), random())).await;
    }
}

/// Connects again, as the policy allows, until it succeeds, the policy ends it or the error will not pass.
async fn reconnect(
    shared: &Shared,
    policy: ReconnectPolicy,
    generation: u64,
    mut cause: Error,
    attempts: &mut u32,
) -> Result<Arc<Live>, ConnectionStatus> {
    let limit = match policy {
        ReconnectPolicy::Forever => None,
        ReconnectPolicy::For(limit) => Some(limit),
        ReconnectPolicy::Never => return Err(ConnectionStatus::Failed(cause)),
    };
    let trying = try_to_connect(shared, generation, &mut cause, attempts);
    let result = tokio::select! {
        biased;
        () = shared.closing() => return Err(ConnectionStatus::Closed),
        result = trying => Some(result),
        () = maybe_sleep(limit) => None,
    };
    match result {
        Some(Ok(live)) => Ok(live),
        Some(Err(error)) => Err(ConnectionStatus::Failed(error)),
        None => Err(ConnectionStatus::Failed(cause)),
    }
}

/// Attempts to connect with growing pauses; `cause` is the latest error that may pass.
async fn try_to_connect(
    shared: &Shared,
    generation: u64,
    cause: &mut Error,
    attempts: &mut u32,
) -> Result<Arc<Live>, Error> {
    loop {
        *attempts = attempts.saturating_add(1);
        let backoff = if cause.kind() == ErrorKind::Quota { Backoff::THROTTLED } else { Backoff::NORMAL };
        let pause = backoff.next_delay(*attempts, random());
        shared.publish_waiting(*attempts, cause.clone(), pause);
        sleep(pause).await;
        match shared.establish(generation).await {
            Ok(live) => return Ok(live),
            Err(error) if error.is_retryable() => {
                tracing::info!(attempt = *attempts, %error, "cannot connect");
                *cause = error;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Connecting anew for a fresh token is no loss: a client that may not reconnect after one may do it all the same.
fn policy_of_renewal(options: &ClientOptions) -> ReconnectPolicy {
    match options.reconnect {
        ReconnectPolicy::Never => ReconnectPolicy::For(options.connect_timeout),
        other => other,
    }
}

/// How a connection is left.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Farewell {
    /// What is under way may end first.
    Drain,
    /// Nothing can be expected of it.
    AtOnce,
}

async fn part(live: &Live, farewell: Farewell) {
    if farewell == Farewell::Drain && timeout(DRAIN_LIMIT, live.drained()).await.is_err() {
        tracing::warn!("deliveries are still under way on a connection that is being closed");
    }
    let _ = timeout(CLOSE_LIMIT, live.connection.close()).await;
}

fn until_renewal(token: Option<&SasToken>, now: SystemTime) -> Option<Duration> {
    let expiry = i64::try_from(token?.expiry()).unwrap_or(i64::MAX).saturating_mul(1000);
    Some(renew_in(Timestamp(unix_millis(now)), Timestamp(expiry)))
}

/// When a credential that had nothing fresher is asked again: at a share of what is left of the token. None once it has
/// ended: the connection is left to its end, and the next asks anew.
fn until_next_question(token: Option<&SasToken>, now: SystemTime) -> Option<Duration> {
    let is_over = token?.is_expired_at(unix_seconds(now));
    (!is_over).then(|| until_renewal(token, now).map(|pause| pause.max(LEAST_PAUSE)))?
}

async fn maybe_sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the client is closed")
}

/// A random number from 0 to 1, for pauses alone.
fn random() -> f64 {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    f64::from(u32::try_from(low & u64::from(u32::MAX)).unwrap_or(0)) / f64::from(u32::MAX)
}

/// The transport up to `open`, then the session and the token: each may take the connect timeout.
const STEPS_TO_HUB: u32 = 2;

/// The same for the hub and for up to three hosts that it redirects to.
const STEPS_TO_EVENT_HUB: u32 = 8;

/// A connection that has lasted this long is taken for sound.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

const RENEWAL_ATTEMPTS: u32 = 5;

/// The least time between two questions for a fresher token.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// How long deliveries under way may take to end when a connection is closed on purpose.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long the peer may take to answer `close`.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
