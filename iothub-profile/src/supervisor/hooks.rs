//! What recovery asks of a hub's client: connect and authenticate, renew the token in time, tell which errors pass.

use std::time::{Duration, SystemTime};

use amqp_codec::Timestamp;
use amqp_transport::{
    cbs::renew_in,
    client::CbsClient,
    recovery::{Attempt, Backoff, Established, Hooks, LinkEnd, LinkVerdict, Parting, RecoveryError, Verdict},
};
use tokio::time::sleep;

use super::{
    Live,
    endpoint::{Endpoint, Target},
    failure,
    options::ClientOptions,
};
use crate::{
    clock::{unix_millis, unix_seconds},
    error::{Error, ErrorKind},
    events::redirect::{self, EventHub},
    sas::SasToken,
};

/// The hooks of a client of a hub or event hub.
#[derive(Debug)]
pub(crate) struct HubHooks {
    target: Target,
    options: ClientOptions,
}

/// What is kept of a connection: where it led and how it was authenticated.
#[derive(Debug)]
pub(crate) struct HubContext {
    pub(crate) endpoint: Endpoint,
    pub(crate) cbs: Option<CbsClient>,
    pub(crate) token: Option<SasToken>,
    pub(crate) event_hub: Option<EventHub>,
}

impl HubHooks {
    pub(crate) fn new(target: Target, options: ClientOptions) -> Self {
        Self { target, options }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// That the token has ended and the credential has no other: the reason for a loss, whatever the peer called it.
    fn ended_token(&self, live: &Live) -> Option<Error> {
        let context = live.context();
        let is_over = context.token.as_ref()?.is_expired_at(unix_seconds(self.options.clock.now()));
        let refused = context.endpoint.token(&self.options).err().filter(|_| is_over)?;
        (refused.kind() == ErrorKind::Credential).then_some(refused)
    }

    /// Puts a fresh token on the live link. `Ok(None)` where the credential has nothing fresher yet: it is to be asked
    /// again, as a provider may keep a token for longer than this side does.
    async fn renew(&self, live: &Live, old: Option<&SasToken>) -> Result<Option<SasToken>, Parting<Error>> {
        let context = live.context();
        let mut attempt = 0;
        loop {
            let fresh = match context.endpoint.token(&self.options) {
                Ok(Some(fresh)) if old.is_none_or(|old| fresh.expiry() > old.expiry()) => fresh,
                Ok(_) => return Ok(None),
                Err(error) => {
                    tracing::warn!(%error, "no fresh token yet");
                    return Ok(None);
                }
            };
            let Some(cbs) = &context.cbs else {
                let cause = Error::new(ErrorKind::Unreachable, "connecting anew with a fresh token");
                return Err(Parting::Planned(cause));
            };
            let error = match context.endpoint.put_token(cbs, &fresh).await {
                Ok(()) => {
                    tracing::debug!(generation = live.generation(), "token renewed");
                    return Ok(Some(fresh));
                }
                Err(error) => error,
            };
            attempt += 1;
            tracing::warn!(attempt, %error, "token not renewed");
            if attempt >= RENEWAL_ATTEMPTS || !live.connection().is_open() {
                return Err(Parting::Lost(self.ended_token(live).unwrap_or(error)));
            }
            sleep(Backoff::NORMAL.next_delay(attempt.saturating_add(1), 0.5)).await;
        }
    }
}

impl Hooks for HubHooks {
    type Context = HubContext;
    type Error = Error;

    async fn connect(&self, _attempt: &Attempt<'_>) -> Result<Established<HubContext>, Error> {
        match &self.target {
            Target::Hub(endpoint) => endpoint.connect(&self.options).await,
            Target::Telemetry { hub, group } => redirect::follow(hub, group, &self.options).await,
            Target::EventHub(endpoint, event_hub) => {
                let mut established = endpoint.connect(&self.options).await?;
                established.context.event_hub = Some(event_hub.clone());
                Ok(established)
            }
        }
    }

    async fn attend(&self, live: &Live) -> Parting<Error> {
        let mut token = live.context().token.clone();
        let mut pause = until_renewal(token.as_ref(), self.options.clock.now());
        loop {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
            let renewed = self.renew(live, token.as_ref()).await;
            let now = self.options.clock.now();
            pause = match renewed {
                Ok(Some(fresh)) => {
                    let pause = until_renewal(Some(&fresh), now);
                    token = Some(fresh);
                    pause
                }
                Ok(None) => until_next_question(token.as_ref(), now),
                Err(parting) => return parting,
            };
        }
    }

    fn lost(&self, live: &Live, reason: RecoveryError) -> Error {
        self.ended_token(live).unwrap_or_else(|| reason.into())
    }

    fn verdict(&self, error: &Error) -> Verdict {
        match error.kind() {
            _ if !error.is_retryable() => Verdict::GiveUp,
            ErrorKind::Quota => Verdict::Retry(Backoff::THROTTLED),
            _ => Verdict::Retry(Backoff::NORMAL),
        }
    }

    fn link_verdict(&self, address: &str, end: LinkEnd<'_>) -> LinkVerdict<Error> {
        match end {
            LinkEnd::NotAttached(error) => failure::attach_end(error, address),
            LinkEnd::Detached(reason) => failure::link_end(reason, address),
            _ => LinkVerdict::Reconnect,
        }
    }
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

const RENEWAL_ATTEMPTS: u32 = 5;

/// The least time between two questions for a fresher token.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
