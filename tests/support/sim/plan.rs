//! What one run is like, drawn from its seed before it starts.

use std::time::Duration;

use amqp_codec::Symbol;
use amqp_transport::Secret;
use amqp_transport::engine::{ConnectionConfig, ListStyle, SaslLayer, SessionConfig, Side, WithoutSasl};
use amqp_transport::sasl::{Anonymous, Channel, Choice, Plain};

use super::rng::Rng;

/// The character of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Whether the connection is opened before anything else happens.
    pub(crate) has_start: bool,
    /// Random steps before the run settles down.
    pub(crate) steps: usize,
    /// Longest delay of octets on the wire.
    pub(crate) delay: Duration,
    /// Longest time that passes between two steps.
    pub(crate) pause: Duration,
    /// Whether the wire stalls for longer than time-outs allow.
    pub(crate) stalls: bool,
    /// Whether the wire is cut at some octet, or the application closes, in the middle.
    pub(crate) cuts: bool,
    pub(crate) closes: bool,
    /// Whether octets arrive in crumbs.
    pub(crate) crumbs: bool,
    /// Whether senders try again although they were told to wait.
    pub(crate) is_impatient: bool,
    /// Whether only the client sends; needed where its bound on unsettled deliveries is tight.
    pub(crate) client_sends_only: bool,
    /// Whether links may be refused, detached and sessions ended in the middle.
    pub(crate) churns: bool,
    /// The side whose frames are tampered with on their way, if any.
    pub(crate) liar: Option<Side>,
    pub(crate) largest_message: usize,
    /// Whether the listener, too, tries to begin and attach (which a client turns away); then handles and channels are not scarce.
    pub(crate) listener_attaches: bool,
    /// Whether links may be kept when they end, and resumed.
    pub(crate) keeps: bool,
    /// Whether so much is left unsettled that the maps do not fit into a frame.
    pub(crate) hoards: bool,
    /// Whether messages are posted under transactions.
    pub(crate) transacts: bool,
    /// Whether channels and handles are plenty.
    pub(crate) is_roomy: bool,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, lies: bool) -> Self {
        let keeps = !rng.one_in(3);
        let hoards = keeps && rng.one_in(4);
        Self {
            has_start: !rng.one_in(6),
            steps: if hoards { 1_000 } else { rng.pick(&[100, 500, 2_000]) },
            delay: Duration::from_millis(rng.pick(&[0, 1, 20])),
            pause: Duration::from_millis(rng.pick(&[1, 5, 40])),
            stalls: rng.one_in(6),
            cuts: rng.one_in(if keeps { 2 } else { 6 }),
            closes: rng.one_in(6),
            crumbs: rng.one_in(3),
            is_impatient: rng.one_in(3),
            client_sends_only: rng.one_in(5),
            churns: !rng.one_in(3),
            liar: lies.then(|| rng.pick(&[Side::Client, Side::Listener])),
            listener_attaches: rng.one_in(4),
            keeps,
            hoards,
            transacts: !lies && rng.one_in(3),
            is_roomy: keeps && rng.one_in(2),
            largest_message: if hoards { 20 } else { rng.pick(&[20, 600, 3_000, 40_000]) },
        }
    }

    pub(crate) fn connection(&self, rng: &mut Rng, side: Side, sasl: SaslLayer) -> ConnectionConfig {
        let mut config = ConnectionConfig::new(match side {
            Side::Client => "client",
            Side::Listener => "listener",
        });
        config.max_frame_size = rng.pick(&[512, 512, 513, 700, 2_048, 65_536]);
        if self.hoards {
            config.max_frame_size = 512;
        }
        // Begins that cross need a channel each.
        config.channel_max =
            if self.listener_attaches || self.is_roomy { 255 } else { rng.pick(&[0, 1, 2, 255]) };
        config.idle_time_out = rng.pick(&[None, Some(2), Some(60)]).map(Duration::from_secs);
        config.list_style = rng.pick(&[ListStyle::Compact, ListStyle::Full]);
        config.sasl = sasl;
        config.limits.pending_events = rng.pick(&[1, 5, 65_536]);
        config.limits.buffered_bytes = rng.pick(&[1, 1_000, 1 << 24]);
        config.limits.output_high_water = rng.pick(&[1, 600, 1 << 20]);
        config.limits.owed_output = rng.pick(&[1, 300, 1 << 20]);
        if self.client_sends_only && side == Side::Client {
            config.limits.unsettled = rng.pick(&[1, 2, 5]);
        }
        config
    }

    /// A SASL layer for both sides.
    pub(crate) fn sasl(rng: &mut Rng) -> (SaslLayer, SaslLayer) {
        let offer = |without_sasl| SaslLayer::Listener {
            mechanisms: vec![Symbol::from_static("PLAIN"), Symbol::from_static("ANONYMOUS")],
            without_sasl,
        };
        match rng.below(4) {
            0 => {
                let plain = Plain::new("user", Secret::from("password".to_owned()));
                (SaslLayer::Client(Choice::only(Channel::Private, plain)), offer(WithoutSasl::Refuse))
            }
            1 => (
                SaslLayer::Client(Choice::only(Channel::Open, Anonymous::default())),
                offer(WithoutSasl::Refuse),
            ),
            2 => (SaslLayer::None, offer(WithoutSasl::Allow)),
            _ => (SaslLayer::None, SaslLayer::None),
        }
    }

    pub(crate) fn session(&self, rng: &mut Rng) -> SessionConfig {
        let mut config = SessionConfig::default();
        config.incoming_window = rng.pick(&[1, 1, 2, 3, 10, 2_048, 0x7fff_ffff]);
        config.outgoing_window = rng.pick(&[0, 1, 2_048]);
        config.next_outgoing_id = Self::number(rng);
        let is_roomy = self.listener_attaches || self.is_roomy;
        config.handle_max = if is_roomy { 8_191 } else { rng.pick(&[0, 1, 3, 8_191]) };
        config
    }

    /// A number to start counting from: often one that wraps soon.
    pub(crate) fn number(rng: &mut Rng) -> u32 {
        let any = rng.word();
        rng.pick(&[0, 1, u32::MAX, u32::MAX - 3, 0x7fff_fffe, any])
    }
}
