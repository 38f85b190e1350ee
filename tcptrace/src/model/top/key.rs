//! Keys, whatever terminal they come from.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what is printed on them")]
pub enum Key {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    Backspace,
    Char(char),
    /// Control and C together.
    Interrupt,
    /// Control and U together.
    Clear,
}

/// What a key makes others do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Understand this as filter flags and answer with [`super::Top::filter`].
    Filter(String),
    /// Write what is on the screen to a file and answer with [`super::Top::say`].
    Write,
    /// Play twice, or half, as fast.
    Speed(Faster),
}

/// In which direction the speed of a replay changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Faster {
    Twice,
    Half,
}
