//! What either side chooses of a connection's `open`.

use std::time::Duration;

use amqp_codec::{Fields, Multiple, Str, Symbol};

use crate::engine::{ConnectionConfig, Limits};

/// What the options of a client and of a listener have in common.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    container_id: Str,
    pub(crate) max_frame_size: u32,
    pub(crate) channel_max: u16,
    pub(crate) idle_time_out: Option<Duration>,
    pub(crate) properties: Option<Fields>,
    pub(crate) offered_capabilities: Multiple<Symbol>,
    pub(crate) limits: Limits,
}

impl Opening {
    /// The engine's defaults under this container-id.
    pub(crate) fn new(container_id: Str) -> Self {
        let defaults = ConnectionConfig::new(container_id);
        Self {
            container_id: defaults.container_id,
            max_frame_size: defaults.max_frame_size,
            channel_max: defaults.channel_max,
            idle_time_out: defaults.idle_time_out,
            properties: defaults.properties,
            offered_capabilities: defaults.offered_capabilities,
            limits: defaults.limits,
        }
    }

    /// The engine's settings, where all stages up to `open` together may take this time.
    pub(crate) fn config(self, handshake: Duration) -> ConnectionConfig {
        let mut config = ConnectionConfig::new(self.container_id);
        config.max_frame_size = self.max_frame_size;
        config.channel_max = self.channel_max;
        config.idle_time_out = self.idle_time_out;
        config.properties = self.properties;
        config.offered_capabilities = self.offered_capabilities;
        config.limits = self.limits;
        // The deadline over all stages is kept outside the engine and tells which stage was late.
        let handshake = handshake.saturating_add(Duration::from_secs(1));
        config.limits.handshake_time_out = config.limits.handshake_time_out.max(handshake);
        config
    }
}
