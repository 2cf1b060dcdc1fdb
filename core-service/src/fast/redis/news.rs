//! A subscription on Redis: a connection of its own, renewed when it is lost, until nobody listens.

use crate::fast::pubsub::{self, Heard, Speaker, Subscription};
use crate::limits;
use ::redis::{Client, RedisError};
use bytes::Bytes;
use futures::StreamExt as _;

/// Listens to `channel` in a task.
pub(super) fn subscribe(client: Client, channel: String) -> Subscription {
    let (speaker, subscription) = pubsub::pair();
    tokio::spawn(async move {
        let listening = async {
            loop {
                if let Err(error) = listen(&client, &channel, &speaker).await {
                    tracing::debug!(%error, %channel, "no news from Redis; it is tried again");
                }
                tokio::time::sleep(limits::NEWS_RECONNECT).await;
            }
        };
        tokio::select! {
            () = speaker.unheard() => {}
            () = listening => {}
        }
    });
    subscription
}

/// Passes on messages until the connection ends.
async fn listen(client: &Client, channel: &str, speaker: &Speaker) -> Result<(), RedisError> {
    let connecting = async {
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(channel).await?;
        Ok::<_, RedisError>(connection)
    };
    let connected = tokio::time::timeout(limits::FAST_CONNECT_TIMEOUT, connecting).await;
    let mut connection = connected.map_err(std::io::Error::from)??;
    // From here on nothing is missed until the connection ends; before, anything may have been.
    speaker.say(Heard::Gap);
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        speaker.say(Heard::Message(Bytes::copy_from_slice(message.get_payload_bytes())));
    }
    Ok(())
}
