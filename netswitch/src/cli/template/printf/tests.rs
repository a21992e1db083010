//! What Go prints; `docker_client.rs` of the tests compares with Docker's client.

use super::*;

type Row = (&'static str, Vec<Value>, &'static str);

fn check(rows: Vec<Row>) {
    for (format, arguments, expected) in rows {
        assert_eq!(sprintf(format, &arguments), expected, "{format}");
    }
}

#[test]
fn numbers_print_as_in_go() {
    let (text, int, float) = (|text: &str| Value::from(text), Value::Int, Value::Float);
    check(vec![
        (
            "%05d %+d % d %x %X %#x",
            vec![int(42), int(42), int(7), int(255), int(255), int(255)],
            "00042 +42  7 ff FF 0xff",
        ),
        (
            "%o %O %#o %b %c %U %q",
            vec![int(8), int(8), int(8), int(5), int(65), int(65), int(65)],
            "10 0o10 010 101 A U+0041 'A'",
        ),
        (
            "%05d|%-5d|%.3d|%+.2d",
            vec![int(-42), int(-42), int(7), int(7)],
            "-0042|-42  |007|+07",
        ),
        (
            "%8.3f|%e|%g|%v",
            vec![float(3.25125), float(1234.5), float(0.5), float(1.0)],
            "   3.251|1.234500e+03|0.5|1",
        ),
        (
            "%g %g %g %.2g %E",
            vec![float(1e6), float(123_456.0), float(1e-5), float(1234.5), float(0.0)],
            "1e+06 123456 1e-05 1.2e+03 0.000000E+00",
        ),
        (
            "%08.2f|%+.1f|%-8.1f|",
            vec![float(-3.25125), float(2.0), float(2.5)],
            "-0003.25|+2.0|2.5     |",
        ),
        (
            "%T %T %T %T",
            vec![text("a"), int(1), float(1.0), true.into()],
            "string int float64 bool",
        ),
        (
            "%d %s %t",
            vec![text("a"), int(1), text("b")],
            "%!d(string=a) %!s(int=1) %!t(string=b)",
        ),
        (
            "%*d|%-*d|%.*f",
            vec![int(5), int(42), int(4), int(7), int(1), float(2.55)],
            "   42|7   |2.5",
        ),
    ]);
}

#[test]
fn texts_lists_and_misfits_print_as_in_go() {
    let (text, int) = (|text: &str| Value::from(text), Value::Int);
    let map = Value::Map(vec![("c".into(), text("d")), ("a".into(), text("b"))]);
    let list = Value::List(vec![text("x"), int(2)]);
    check(vec![
        (
            "%-12.5s|%5d|%x",
            vec![text("alpha-long"), int(10), text("ab")],
            "alpha       |   10|6162",
        ),
        (
            "%20s|%-4s|%2s",
            vec![text("a"), text("b"), text("long")],
            "                   a|b   |long",
        ),
        (
            "%.3s|%.0s|%5.1s",
            vec![text("añb"), text("x"), text("yz")],
            "añb||    y",
        ),
        (
            "%t %5t %v",
            vec![true.into(), false.into(), true.into()],
            "true false true",
        ),
        ("%z", vec![int(1)], "%!z(int=1)"),
        ("%d", vec![Value::Nil], "%!d(<nil>)"),
        ("%v", vec![Value::Nil], "<nil>"),
        ("%s", vec![text("a"), text("b"), int(3)], "a%!(EXTRA string=b, int=3)"),
        ("%s %s", vec![text("a")], "a %!s(MISSING)"),
        ("100%", vec![], "100%!(NOVERB)"),
        ("100%%", vec![], "100%"),
        ("%[2]s %[1]s", vec![text("a"), text("b")], "b a"),
        ("%[3]s", vec![text("a")], "%!s(BADINDEX)"),
        ("%*d", vec![text("a"), int(1)], "%!(BADWIDTH)1"),
        (
            "%q %#q %+q",
            vec![text("a\"b\n"), text("ab"), text("é")],
            "\"a\\\"b\\n\" `ab` \"\\u00e9\"",
        ),
        (
            "%x %X % x %#x",
            vec![text("ab"), text("ko"), text("ab"), text("ab")],
            "6162 6B6F 61 62 0x6162",
        ),
        (
            "%v|%+v|%s|%q",
            vec![map.clone(), map.clone(), map.clone(), map.clone()],
            "map[a:b c:d]|map[a:b c:d]|map[a:b c:d]|map[\"a\":\"b\" \"c\":\"d\"]",
        ),
        (
            "%#v %#v",
            vec![text("a"), map],
            "\"a\" map[string]string{\"a\":\"b\", \"c\":\"d\"}",
        ),
        (
            "%v %s %3v",
            vec![list.clone(), list.clone(), list],
            "[x 2] [x %!s(int=2)] [  x   2]",
        ),
    ]);
}

#[test]
fn print_puts_spaces_between_what_is_no_text() {
    let values = [
        Value::from("a"),
        Value::Int(1),
        Value::Int(2),
        "x".into(),
        "y".into(),
        true.into(),
        Value::Nil,
    ];
    assert_eq!(sprint(&values), "a1 2xytrue <nil>");
    assert_eq!(sprintln(&values), "a 1 2 x y true <nil>\n");
    assert_eq!(sprint(&[]), "");
}
