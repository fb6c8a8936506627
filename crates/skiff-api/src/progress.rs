//! Progress and errors: one line of a pull, push, load or build, and the body of every failure.

use crate::wire::wire;

wire! {
    /// The body of an answer with a status of 400 and above.
    pub struct ErrorBody as "ErrorResponse" {
        message: String = "message";
    }

    /// One line of a progress stream.
    pub struct ProgressMessage as "Message" {
        stream: String = "stream", omitempty;
        status: String = "status", omitempty;
        progress_detail: Option<ProgressDetail> = "progressDetail", omitempty;
        /// The bar as text, for clients that show it as it is.
        progress: String = "progress", omitempty;
        /// What it is about: a layer's short id, a tag.
        id: String = "id", omitempty;
        error_detail: Option<ErrorDetail> = "errorDetail", omitempty;
        error: String = "error", omitempty;
        /// A result out of band, such as a pushed digest.
        aux: Option<serde_json::Value> = "aux", omitempty;
    }

    /// How far it is.
    pub struct ProgressDetail as "Progress" {
        current: i64 = "current", omitempty;
        total: i64 = "total", omitempty;
        hide_counts: bool = "hidecounts", omitempty;
        units: String = "units", omitempty;
    }

    /// Why it failed.
    pub struct ErrorDetail as "Error" {
        code: i64 = "code", omitempty;
        message: String = "message";
    }
}
