//! What happened to an object: one line of `/events`.

use crate::Map;
use crate::wire::wire;

wire! {
    /// One event.
    pub struct EventMessage as "events.Message" {
        /// Before 1.52 and for containers and images only: the action again.
        status: String = "status", omitempty;
        /// Before 1.52: the actor's id again.
        id: String = "id", omitempty;
        /// Before 1.52: the image of a container.
        from: String = "from", omitempty;
        /// container, image, volume, network, daemon, …
        kind: String = "Type";
        action: String = "Action";
        actor: EventActor = "Actor";
        /// Always `local` here.
        scope: String = "scope", omitempty;
        /// Unix seconds.
        time: i64 = "time", omitempty;
        time_nano: i64 = "timeNano", omitempty;
    }

    /// The object that it happened to.
    pub struct EventActor as "events.Actor" {
        id: String = "ID";
        attributes: Map<String> = "Attributes";
    }
}
