use proptest::prelude::*;

use super::*;

/// A little BTF: `struct outer { int a; union { struct inner in; }; int bits:3; }`,
/// `struct inner { int x; int y; }`, `enum e { ONE = 1 }`.
fn blob() -> Vec<u8> {
    let mut strings = vec![0u8];
    let mut name = |s: &str| {
        let at = strings.len() as u32;
        strings.extend(s.as_bytes());
        strings.push(0);
        at
    };
    let (int, inner, x, y) = (name("int"), name("inner"), name("x"), name("y"));
    let (outer, a, inside, bits) = (name("outer"), name("a"), name("in"), name("bits"));
    let (e, one) = (name("e"), name("ONE"));
    let f = name("f");
    let words = [
        // 1: int
        vec![int, KIND_INT << 24, 4, 32],
        // 2: struct inner { int x; int y; }
        vec![inner, KIND_STRUCT << 24 | 2, 8, x, 1, 0, y, 1, 32],
        // 3: union { struct inner in; }
        vec![0, KIND_UNION << 24 | 1, 8, inside, 2, 0],
        // 4: struct outer
        vec![outer, 1 << 31 | KIND_STRUCT << 24 | 3, 16, a, 1, 0, 0, 3, 32, bits, 1, 3 << 24 | 96],
        // 5: enum e { ONE = 1 }
        vec![e, KIND_ENUM << 24 | 1, 4, one, 1],
        // 6: int (int x, int y), 7: the function f of that type
        vec![0, KIND_FUNC_PROTO << 24 | 2, 1, x, 1, y, 1],
        vec![f, KIND_FUNC << 24, 6],
    ]
    .concat();
    pack(&words, &strings)
}

fn pack(words: &[u32], strings: &[u8]) -> Vec<u8> {
    let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut blob = MAGIC.to_ne_bytes().to_vec();
    blob.extend([1, 0]);
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        blob.extend(word.to_ne_bytes());
    }
    blob.extend(types);
    blob.extend(strings);
    blob
}

fn offset(btf: &Btf<'_>, of: &str, path: &str, want: u32) -> Result<u32> {
    btf.structure(of)?.offset(path, want)
}

#[test]
fn members_are_found_through_anonymous_unions() {
    let blob = blob();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(offset(&btf, "outer", "a", 4), Ok(0));
    assert_eq!(offset(&btf, "outer", "in.y", 4), Ok(8));
    assert_eq!(btf.enumerator("e", "ONE"), Ok(1));
    assert_eq!(btf.arguments("f"), Ok(2));
}

#[test]
fn types_without_end_are_damage() {
    // 1: struct s { m of type 3; two anonymous ones of type 2 }, 2: two anonymous ones of itself,
    // 3: an array of itself.
    let words = [
        vec![1, KIND_STRUCT << 24 | 3, 8, 3, 3, 0, 0, 2, 0, 0, 2, 0],
        vec![0, KIND_STRUCT << 24 | 2, 8, 0, 2, 0, 0, 2, 0],
        vec![0, KIND_ARRAY << 24, 0, 3, 3, 7],
    ];
    let blob = pack(&words.concat(), b"\0s\0m\0");
    let btf = Btf::parse(&blob).unwrap();
    assert!(offset(&btf, "s", "m", 4).is_err());
    assert!(matches!(offset(&btf, "s", "none", 4), Err(BtfError::Damaged(_))));
}

#[test]
fn offsets_that_do_not_fit_are_damage() {
    // Nine structures, each at the end of what the one around it can have.
    let last = !7;
    let nested = (0..9).flat_map(|depth| {
        let (name, member) = (u32::from(depth == 0), if depth == 8 { 3 } else { 0 });
        [name, KIND_STRUCT << 24 | 1, 8, member, depth + 2, last]
    });
    let words: Vec<_> = nested.chain([0, KIND_INT << 24, 4, 32]).collect();
    let blob = pack(&words, b"\0s\0m\0");
    let btf = Btf::parse(&blob).unwrap();
    assert!(matches!(offset(&btf, "s", "m", 4), Err(BtfError::Damaged(_))));
}

#[test]
fn what_is_not_there_or_of_another_size_is_named() {
    let blob = blob();
    let btf = Btf::parse(&blob).unwrap();
    let error = |result: Result<u32>| result.unwrap_err().to_string();
    assert_eq!(error(offset(&btf, "none", "a", 4)), "this kernel has no type `none`");
    assert_eq!(error(offset(&btf, "outer", "b", 4)), "this kernel's `outer` has no member `b`");
    assert_eq!(
        error(offset(&btf, "outer", "bits", 4)),
        "this kernel's `outer` has no member `bits`",
        "a bit-field has no byte offset"
    );
    assert_eq!(
        error(offset(&btf, "outer", "a", 2)),
        "this kernel's `outer.a` has 4 bytes where 2 are read"
    );
}

proptest! {
    #[test]
    fn damage_never_panics(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut blob = blob();
        let len = blob.len();
        blob[at.index(len)] = byte;
        blob.truncate(cut.index(len) + 1);
        if let Ok(btf) = Btf::parse(&blob) {
            let _ = offset(&btf, "outer", "in.y", 4);
            let _ = btf.enumerator("e", "ONE");
            let _ = btf.arguments("f");
        }
    }
}
