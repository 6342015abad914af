//! Azure IoT Hub over AMQP 1.0.
#![forbid(unsafe_code)]
