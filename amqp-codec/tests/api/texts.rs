//! Strings and symbols.

use std::borrow::Borrow;
use std::collections::HashMap;

use amqp_codec::{Bytes, DecodeErrorKind, NotAscii, Str, Symbol, TextRef, ValueRef, to_bytes};

use super::{decode, hash_of, look, refusal};

/// Lengths about the bounds of the short encoding, of text that is kept in place, and of the copies of fixed width.
const LENGTHS: [usize; 14] = [0, 1, 3, 4, 7, 8, 15, 16, 17, 22, 23, 24, 255, 256];

#[test]
fn text_of_any_length_keeps_its_octets_wherever_it_is_kept() {
    for length in LENGTHS {
        let text: String = ('!'..='~').cycle().take(length).collect();
        let header = |small: u8| match u8::try_from(length) {
            Ok(short) => vec![small, short],
            Err(_) => vec![small + 0x10, 0, 0, 1, 0],
        };
        let string = [&header(0xa1), text.as_bytes()].concat();
        let symbol = [&header(0xa3), text.as_bytes()].concat();
        for own in [Str::copy_from(&text), Str::from(text.clone()), text.parse().unwrap(), decode(&string)] {
            assert_eq!((own.as_str(), to_bytes(&own).as_ref()), (text.as_str(), string.as_slice()));
            assert_eq!(hash_of(&own), hash_of(&text), "a map of strings is searched with &str");
            assert_eq!(own.clone().into_bytes(), text.as_bytes());
            assert_eq!(String::from(own), text);
        }
        for own in
            [Symbol::new(text.as_str()).unwrap(), text.parse().unwrap(), text.clone().try_into().unwrap()]
        {
            assert_eq!((own.as_str(), to_bytes(&own).as_ref()), (text.as_str(), symbol.as_slice()));
            // The one becomes the other, and is written as what it is now.
            let string_of: Str = own.clone().into();
            assert_eq!(to_bytes(&string_of), string);
            assert_eq!(to_bytes(&Symbol::try_from(string_of).unwrap()), symbol);
            assert_eq!(own.into_bytes(), text.as_bytes());
        }
        let shared = Str::from_utf8(Bytes::from(text.clone())).unwrap();
        assert_eq!(to_bytes(&shared), string);
        look(&symbol, |seen| {
            let seen: TextRef<'_> = seen.as_symbol().unwrap();
            assert_eq!((seen.as_str(), seen.as_octets()), (text.as_str(), text.as_bytes()));
            assert_eq!(seen.to_str(), text.as_str());
        });
    }
}

#[test]
fn a_long_text_shares_its_octets_and_a_short_one_keeps_no_buffer_alive() {
    let long = Bytes::from(vec![b'x'; 23]);
    let text = Str::from_utf8(long.clone()).unwrap();
    assert_eq!(text.clone().into_bytes().as_ptr(), long.as_ptr());
    drop(text);
    assert!(long.is_unique());
    let octets = Bytes::from(vec![0xa1, 3, b'a', b'b', b'c']);
    let short: Str = amqp_codec::from_bytes(&octets, &super::STRICT).unwrap();
    assert!(octets.is_unique(), "{short}");
}

#[test]
fn symbols_are_ascii_and_say_so() {
    // T-034: seven bits only.
    for text in ["é", "amqp:é", "a text that is longer than what is kept in place, é"] {
        assert_eq!(Symbol::new(text), Err(NotAscii));
        assert_eq!(text.parse::<Symbol>(), Err(NotAscii));
        assert_eq!(Symbol::try_from(text.to_owned()), Err(NotAscii));
        assert_eq!(Symbol::try_from(Str::copy_from(text)), Err(NotAscii));
    }
    assert_eq!(NotAscii.to_string(), "symbol is not ASCII");
    assert_eq!(refusal::<Symbol>(&[0xa3, 2, 0xc3, 0xa9]), DecodeErrorKind::InvalidAscii);
    // T-032: well-formed UTF-8 only, at any length.
    assert_eq!(refusal::<Str>(&[0xa1, 2, 0xc3, b'a']), DecodeErrorKind::InvalidUtf8);
    let long = [&[0xa1, 40][..], &[b'a'; 38], &[0xc3, b'a']].concat();
    assert_eq!(refusal::<Str>(&long), DecodeErrorKind::InvalidUtf8);
    assert!(matches!(refusal::<Str>(&[0xa3, 1, b'a']), DecodeErrorKind::WrongType(0xa3)));
}

#[test]
fn texts_compare_as_text_does() {
    let (string, symbol) = (Str::from("b"), Symbol::from("b"));
    assert_eq!(string, *"b");
    assert_eq!(*"b", string);
    assert_eq!("b", string);
    assert_eq!(symbol, *"b");
    assert_eq!(*"b", symbol);
    assert_eq!("b", symbol);
    assert!(string != "c" && symbol != "c");
    let mut strings = [Str::from("ba"), string.clone(), "a".into(), "".into()];
    let mut symbols = [Symbol::from("ba"), symbol.clone(), "a".into(), "".into()];
    strings.sort();
    symbols.sort();
    assert_eq!(
        (strings, symbols),
        (["", "a", "b", "ba"].map(Str::from), ["", "a", "b", "ba"].map(Symbol::from))
    );
    assert_eq!(string.partial_cmp(&Str::from("a")), Some(std::cmp::Ordering::Greater));
    assert_eq!(symbol.partial_cmp(&Symbol::from("c")), Some(std::cmp::Ordering::Less));
    assert_eq!((string.as_ref(), symbol.as_ref()), ("b", "b"));
    assert_eq!((string.len(), symbol.to_uppercase()), (1, "B".to_owned()), "the methods of str are there");
    assert_eq!((format!("{string} {symbol}"), format!("{string:?}")), ("b b".to_owned(), "\"b\"".to_owned()));
    assert_eq!((Str::default().as_str(), to_bytes(&Symbol::default()).as_ref()), ("", &[0xa3, 0][..]));
    look(&[0xa1, 1, b'b'], |seen| {
        let ValueRef::String(seen) = seen else { panic!("{seen:?}") };
        assert!(seen == *"b" && seen == "b" && seen != "c");
        assert_eq!((format!("{seen}"), format!("{seen:?}"), seen.len()), ("b".into(), "\"b\"".into(), 1));
    });
}

#[test]
fn maps_with_text_keys_are_searched_with_plain_text() {
    let strings: HashMap<Str, u32> = [(Str::from("a"), 1), ("b".into(), 2)].into();
    let symbols: HashMap<Symbol, u32> = [(Symbol::from("a"), 1), ("b".into(), 2)].into();
    assert_eq!((strings.get("b"), symbols.get("b"), symbols.get("c")), (Some(&2), Some(&2), None));
    let borrowed: &str = symbols.keys().find(|key| **key == "a").unwrap().borrow();
    assert_eq!(borrowed, "a");
}
