//! How things are said, done and described: words chosen afresh at each mention.

use super::class::Class;

/// Verbs of calm speech.
pub(super) static SAID: Class = Class::plain(&[
    "said", "replied", "answered", "explained", "declared", "announced", "murmured", "whispered", "chuckled",
    "remarked",
]);

/// Verbs of loud speech.
pub(super) static CRIED: Class = Class::plain(&[
    "cried", "shouted", "called", "yelled", "exclaimed", "squealed", "gasped", "roared", "screamed", "bellowed",
    "shrieked", "hollered",
]);

/// Verbs of unhappy speech.
pub(super) static SIGHED: Class = Class::plain(&[
    "sighed", "sobbed", "groaned", "wept", "sniffed", "moaned", "whimpered", "mumbled", "said", "cried",
    "stammered", "muttered",
]);

/// How a helper speaks; follows the verb and its subject.
pub(super) static KINDLY: Class = Class::plain(&[
    "", " kindly", " gently", " softly", " calmly", " warmly", " cheerfully", " quietly", " slowly", " at once",
    " with a smile", " with a wink", " with a nod", " after a while", " in a low voice", " in a deep voice",
    " in a clear voice", " politely", " wisely", " brightly", " with a twinkle", " patiently", " firmly",
    " tenderly", " without delay", " with a grin", " in a soft voice", " thoughtfully", " in a bright voice",
    " with a bow", " eagerly", " proudly",
]);

/// How someone in trouble speaks.
pub(super) static SADLY: Class = Class::plain(&[
    "", " sadly", " softly", " in a small voice", " in tears", " with a gulp", " with a pout", " quietly",
    " bitterly", " at last", " very slowly", " with wet eyes", " in a shaky voice", " again and again",
    " helplessly", " in a thin voice", " with a shrug", " with a frown", " glumly", " under {his} breath",
]);

/// How one moves or works.
pub(super) static QUICKLY: Class = Class::plain(&[
    "quickly", "slowly", "quietly", "carefully", "calmly", "bravely", "silently", "promptly", "swiftly",
    "patiently", "politely", "briskly", "boldly", "softly", "nimbly", "steadily", "cautiously", "hastily", "gently",
    "lightly", "neatly", "busily", "hurriedly", "smoothly",
]);

/// What a thing is like.
pub(super) static NICE: Class = Class::plain(&[
    "big", "small", "old", "new", "pretty", "plain", "strange", "tiny", "huge", "lovely", "odd", "fine", "funny",
    "simple", "fancy", "special", "ordinary", "curious", "splendid", "wonderful", "charming", "perfect",
    "beautiful", "large", "nice", "neat", "handsome", "grand", "magnificent", "peculiar", "marvelous", "elegant",
    "remarkable", "amazing", "humble", "dainty", "modest", "superb", "cute", "mysterious", "famous", "colorful",
    "shabby", "fantastic", "gorgeous", "delightful", "unusual", "silly",
]);

/// What a thing is to its owner.
pub(super) static DEAR: Class = Class::plain(&[
    "little", "old", "new", "favorite", "dear", "pretty", "precious", "funny", "lovely", "tiny", "big", "beloved",
    "wonderful", "fine", "best", "only", "cherished", "splendid", "special", "perfect", "charming", "cute",
    "secret",
]);

/// How much one feels.
pub(super) static VERY: Class = Class::plain(&[
    "so", "very", "terribly", "really", "quite", "rather", "awfully", "truly", "deeply", "a little", "extremely",
    "a bit",
]);

/// What one feels like when one is sad.
pub(super) static LIKE: Class = Class::plain(&[
    "a stone in a shoe", "a balloon without air", "a boat without a sail", "a song without a tune",
    "an empty plate", "a kite without wind", "a bird without wings", "a clock that had stopped", "a rainy day",
    "a broken toy", "a house without a door", "soup without salt", "a lost sock", "a candle in the wind",
    "a snowman in June", "a tree without leaves", "a bell without a sound", "a fish on the sand",
    "a cloud full of rain", "a forgotten toy", "yesterday's bread", "a drum with a hole", "a lamp without light",
    "a very small ant",
]);

/// Cries of surprise and dismay.
pub(super) static OH: Class = Class::plain(&[
    "Oh no", "Oh dear", "Goodness", "Help", "Alas", "Dear me", "Good heavens", "Bother", "What now", "Oops",
    "Good grief", "My goodness", "Ouch", "Oh my", "No, no, no", "How terrible",
]);

/// What one feels like when one is light of heart.
pub(super) static LIGHT: Class = Class::plain(&[
    "a star", "a leaf in the wind", "a cloud", "a bird", "a king", "a queen", "a hero", "a rocket", "a feather",
    "a dancing bear", "a soap bubble", "a flying fish", "a kite", "sunshine", "a drum roll", "a big brass band",
]);
