//! What dockerd answers to odd bodies (reference "5b JSON"), and what Go accepts.

use super::*;
use crate::{ContainerCreateRequest, VolumeCreateRequest};

fn refusal(body: &str) -> String {
    decode::<ContainerCreateRequest>(body.as_bytes()).unwrap_err().to_string()
}

fn accept(body: &[u8]) -> ContainerCreateRequest {
    decode(body).unwrap()
}

#[test]
fn broken_text_gets_the_words_of_go() {
    for (body, expect) in [
        ("", "EOF"),
        ("  \n", "EOF"),
        ("{", "unexpected EOF"),
        (r#"{"a"#, "unexpected EOF"),
        (r#"{"a":"#, "unexpected EOF"),
        ("nul", "unexpected EOF"),
        ("[1,", "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{,}", "invalid character ',' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
        (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
        ("[01]", "invalid character '1' after array element"),
        ("[1.]", "invalid character ']' after decimal point in numeric literal"),
        ("[-x]", "invalid character 'x' in numeric literal"),
        ("[\"\n\"]", "invalid character '\\n' in string literal"),
        (r#"["\x"]"#, "invalid character 'x' in string escape code"),
        (r#"["\u00g0"]"#, "invalid character 'g' in \\u hexadecimal character escape"),
    ] {
        assert_eq!(refusal(body), format!("invalid JSON: {expect}"), "{body}");
    }
}

#[test]
fn wrong_types_name_the_field() {
    let value = "json: cannot unmarshal";
    for (body, expect) in [
        ("[]", "array into Go value of type container.CreateRequest"),
        (r#""x""#, "string into Go value of type container.CreateRequest"),
        (r#"{"Image":5}"#, "number into Go struct field CreateRequest.Config.Image of type string"),
        (
            r#"{"Cmd":"echo hi"}"#,
            "string into Go struct field CreateRequest.Config.Cmd of type []string",
        ),
        (
            r#"{"Cmd":["a",1]}"#,
            "number into Go struct field CreateRequest.Config.Cmd of type string",
        ),
        (
            r#"{"Labels":["a"]}"#,
            "array into Go struct field CreateRequest.Config.Labels of type map[string]string",
        ),
        (
            r#"{"Labels":{"a":1}}"#,
            "number into Go struct field CreateRequest.Config.Labels of type string",
        ),
        (
            r#"{"HostConfig":{"Memory":"1g"}}"#,
            "string into Go struct field CreateRequest.HostConfig.Resources.Memory of type int64",
        ),
        (
            r#"{"HostConfig":{"Memory":1.5}}"#,
            "number 1.5 into Go struct field CreateRequest.HostConfig.Resources.Memory of type int64",
        ),
        (
            r#"{"HostConfig":{"Memory":1e30}}"#,
            "number 1e30 into Go struct field CreateRequest.HostConfig.Resources.Memory of type int64",
        ),
        (
            r#"{"HostConfig":[]}"#,
            "array into Go struct field CreateRequest.HostConfig of type container.HostConfig",
        ),
        (
            r#"{"HostConfig":{"RestartPolicy":{"Name":true}}}"#,
            "bool into Go struct field CreateRequest.HostConfig.RestartPolicy.Name of type string",
        ),
        (
            r#"{"HostConfig":{"BlkioWeight":70000}}"#,
            "number 70000 into Go struct field CreateRequest.HostConfig.Resources.BlkioWeight of type uint16",
        ),
        (r#"{"Tty":"yes"}"#, "string into Go struct field CreateRequest.Config.Tty of type bool"),
    ] {
        assert_eq!(refusal(body), format!("invalid JSON: {value} {expect}"), "{body}");
    }
    let volume = decode::<VolumeCreateRequest>(br#"{"Name":1}"#).unwrap_err().to_string();
    assert!(volume.ends_with("Go struct field CreateRequest.Name of type string"), "{volume}");
}

#[test]
fn something_after_the_object_is_refused() {
    for body in ["{} {}", "{}x", "{}[]", r#"{"Image":"a"},"#] {
        assert_eq!(refusal(body), "unexpected content after JSON", "{body}");
    }
    accept(b"{} \r\n\t");
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
    assert_eq!(refusal(&deep), "invalid JSON: exceeded max depth");
    let fine = format!(r#"{{"a":{}{}}}"#, "[".repeat(120), "]".repeat(120));
    accept(fine.as_bytes());
    let large = vec![b' '; MAX_BODY + 1];
    assert_eq!(decode::<ContainerCreateRequest>(&large), Err(BodyError::TooLarge));
}

#[test]
fn names_have_any_case_and_the_last_counts() {
    assert_eq!(accept(br#"{"image":"a"}"#).config.image, "a");
    assert_eq!(accept(br#"{"Image":"a","IMAGE":"b","iMage":"c"}"#).config.image, "c");
    assert_eq!(accept(br#"{"hostconfig":{"MEMORY":5}}"#).host_config.unwrap().resources.memory, 5);
}

#[test]
fn null_is_the_zero_value_everywhere() {
    let request = accept(
        br#"{"Image":null,"Tty":null,"Cmd":null,"Labels":{"a":null},"Healthcheck":null,
            "StopTimeout":null,"HostConfig":{"Memory":null,"LogConfig":null,"ConsoleSize":null,
            "Devices":[null],"PortBindings":{"80/tcp":[null]}}}"#,
    );
    assert_eq!(request.config.labels["a"], "");
    let host = request.host_config.unwrap();
    assert_eq!(host.resources.devices.len(), 1);
    assert_eq!(host.port_bindings["80/tcp"].len(), 1);
    assert_eq!(accept(b"null"), ContainerCreateRequest::default());
}

#[test]
fn broken_characters_become_replacement_characters() {
    assert_eq!(accept(b"{\"Image\":\"a\xffb\"}").config.image, "a\u{fffd}b");
    assert_eq!(accept(br#"{"Image":"\ud800x\ud83d\ude00"}"#).config.image, "\u{fffd}x\u{1f600}");
    assert_eq!(accept(br#"{"Image":"\ud800\ud83d\ude00"}"#).config.image, "\u{fffd}\u{1f600}");
}

#[test]
fn arrays_of_fixed_length_take_any() {
    for (body, expect) in [("[1]", [1, 0]), ("[1,2,3]", [1, 2]), ("[]", [0, 0])] {
        let body = format!(r#"{{"HostConfig":{{"ConsoleSize":{body}}}}}"#);
        assert_eq!(accept(body.as_bytes()).host_config.unwrap().console_size, expect, "{body}");
    }
}
