//! What people are shown.

use amqp_codec::{
    Bytes, Value,
    dump::{FrameLine, Line, ValueLine},
};

use super::decode;

fn shown(octets: &[u8]) -> String {
    ValueLine(&decode::<Value>(octets)).to_string()
}

#[test]
fn values_of_every_type_are_shown_as_people_write_them() {
    let uuid = [
        &[0x98][..],
        &[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff],
    ]
    .concat();
    let decimal = [&[0x94][..], &[0xab; 16]].concat();
    for (octets, text) in [
        (&[0x40][..], "null"),
        (&[0x41], "true"),
        (&[0x50, 255], "255"),
        (&[0x60, 1, 0], "256"),
        (&[0x43], "0"),
        (&[0x53, 9], "9"),
        (&[0x51, 0xff], "-1"),
        (&[0x61, 0xff, 0xfe], "-2"),
        (&[0x54, 0xfd], "-3"),
        (&[0x55, 0xfc], "-4"),
        (&[0x72, 0x3f, 0xc0, 0, 0], "1.5"),
        (&[0x82, 0x40, 0, 0, 0, 0, 0, 0, 0], "2.0"),
        (&[0x74, 1, 2, 3, 4], "0x01020304"),
        (&[0x84, 1, 2, 3, 4, 5, 6, 7, 8], "0x0102030405060708"),
        (&decimal, "0xabababababababababababababababab"),
        (&[0x73, 0, 0, 0, b'\n'], r"'\n'"),
        (&[0x83, 0, 0, 0, 0, 0, 0, 3, 0xe8], "@1000ms"),
        (&uuid, "00112233-4455-6677-8899-aabbccddeeff"),
        (&[0xa0, 2, 0xde, 0xad], "0xdead"),
        (&[0xa1, 2, b'"', 7], r#""\"\u{7}""#),
        (&[0xa3, 2, b'a', 0], r":a\0"),
        (&[0xc0, 3, 2, 0x40, 0x41], "[null, true]"),
        (&[0xe0, 4, 2, 0x50, 1, 2], "@[1, 2]"),
        (&[0xc1, 9, 4, 0xa1, 1, b'k', 0x41, 0xa3, 1, b's', 0x43], r#"{"k"=true, :s=0}"#),
        (&[0, 0xa3, 1, b'x', 0x41], "@:x true"),
        (&[0, 0x53, 0x77, 0x41], "@amqp-value(119) true"),
        (&[0, 0x53, 0x24, 0x45], "@accepted(36) []"),
        // A field that the specification does not know.
        (&[0, 0x53, 0x24, 0xc0, 2, 1, 0x41], "@accepted(36) [?=true]"),
    ] {
        assert_eq!(shown(octets), text, "{octets:02x?}");
    }
}

#[test]
fn a_line_stays_short_however_much_there_is_to_show() {
    let many = [&[0xf0, 0, 0, 0, 5, 0, 0, 0xff, 0xff][..], &[0x43]].concat();
    assert_eq!(shown(&many), format!("@[{}…]", "0, ".repeat(64)));
    let list = [&[0xc0, 67, 66][..], &[0x40; 66]].concat();
    assert_eq!(shown(&list), format!("[{}…]", "null, ".repeat(64)));
    let long = [&[0xa0, 65][..], &[0xee; 65]].concat();
    assert_eq!(shown(&long), format!("0x{}…(65 octets)", "ee".repeat(64)));
}

#[test]
fn a_map_of_thousands_of_entries_makes_a_short_line_too() {
    let map: amqp_codec::Map = (0..10_000_u32).map(|key| (key, true)).collect();
    let line = ValueLine(&Value::from(map)).to_string();
    assert!(line.starts_with("{0=true, 1=true, ") && line.ends_with("63=true, …}"), "{} octets", line.len());
}

#[test]
fn what_cannot_be_read_is_shown_as_the_error_it_is() {
    let frame = |octets: &'static [u8]| FrameLine(&Bytes::from_static(octets)).to_string();
    assert_eq!(frame(&[0, 0, 0, 8, 2, 0, 0, 5]), "5: (empty)");
    assert!(frame(&[0, 0, 0, 8, 1, 0, 0, 0]).starts_with('<'), "data offset within the header");
    assert!(frame(&[0, 0, 0, 9, 2, 0, 0, 0, 0xa1]).starts_with("0: <"), "a string without a length");
    // What is encoded is not believed either: a value nested deeper than any reader goes.
    let deep = (0..70).fold(Value::Null, |inner, _| amqp_codec::List::from(vec![inner]).into());
    assert!(Line(&deep).to_string().starts_with('<'));
}
