//! Who lives in the stories: names, kinds, family, strangers, feelings and what everybody likes to do.

use super::class::Class;

/// Names of children and of animals; a name tells who "he" or "she" is.
pub(super) static NAMES: Class = Class::table(&["", "group", "world", "he"], &[
    "Lily/girl/child/she", "Mia/girl/child/she", "Anna/girl/child/she", "Sara/girl/child/she",
    "Emma/girl/child/she", "Lucy/girl/child/she", "Ella/girl/child/she", "Zoe/girl/child/she",
    "Nora/girl/child/she", "Ruby/girl/child/she", "Amy/girl/child/she", "Kate/girl/child/she",
    "Rosa/girl/child/she", "Clara/girl/child/she", "Maya/girl/child/she", "Ivy/girl/child/she",
    "Jane/girl/child/she", "Molly/girl/child/she", "Sophie/girl/child/she", "Alice/girl/child/she",
    "Grace/girl/child/she", "Nina/girl/child/she", "Tess/girl/child/she", "Leila/girl/child/she",
    "Hannah/girl/child/she", "Yuki/girl/child/she", "Priya/girl/child/she", "Fatima/girl/child/she",
    "Elena/girl/child/she", "Julia/girl/child/she", "Carmen/girl/child/she", "Greta/girl/child/she",
    "Tom/boy/child/he", "Ben/boy/child/he", "Sam/boy/child/he", "Max/boy/child/he", "Leo/boy/child/he",
    "Jack/boy/child/he", "Tim/boy/child/he", "Finn/boy/child/he", "Noah/boy/child/he", "Oscar/boy/child/he",
    "Jake/boy/child/he", "Adam/boy/child/he", "Luke/boy/child/he", "Peter/boy/child/he", "Henry/boy/child/he",
    "Omar/boy/child/he", "Felix/boy/child/he", "Theo/boy/child/he", "Hugo/boy/child/he", "Billy/boy/child/he",
    "Carlos/boy/child/he", "Daniel/boy/child/he", "Eli/boy/child/he", "George/boy/child/he", "Ravi/boy/child/he",
    "Kenji/boy/child/he", "Marco/boy/child/he", "Simon/boy/child/he", "Victor/boy/child/he", "Anton/boy/child/he",
    "Paul/boy/child/he", "Jamal/boy/child/he", "Dot/animal/wild/she", "Pearl/animal/wild/she",
    "Misty/animal/wild/she", "Nibbles/animal/wild/she", "Honey/animal/wild/she", "Tilly/animal/wild/she",
    "Fern/animal/wild/she", "Bella/animal/wild/she", "Poppy/animal/wild/she", "Mimi/animal/wild/she",
    "Ginger/animal/wild/she", "Lulu/animal/wild/she", "Snowy/animal/wild/she", "Velvet/animal/wild/she",
    "Willow/animal/wild/she", "Cookie/animal/wild/she", "Pip/animal/wild/he", "Bruno/animal/wild/he",
    "Rusty/animal/wild/he", "Fuzzy/animal/wild/he", "Spot/animal/wild/he", "Buddy/animal/wild/he",
    "Ziggy/animal/wild/he", "Bobo/animal/wild/he", "Oliver/animal/wild/he", "Tiny/animal/wild/he",
    "Patch/animal/wild/he", "Milo/animal/wild/he", "Whiskers/animal/wild/he", "Biscuit/animal/wild/he",
    "Scout/animal/wild/he", "Barnaby/animal/wild/he",
]);

/// What a hero is; animals name their species.
pub(super) static HERO_KINDS: Class = Class::table(&["", "group"], &["girl/girl", "boy/boy", "{species}/animal"]);

/// What is said of a friend's kind after the name: nothing of children.
pub(super) static FRIEND_KINDS: Class = Class::table(&["", "group"], &["/girl", "/boy", " the {friendspecies}/animal"]);

/// Animals that heroes are; helpers ([`CREATURES`]) and foundlings are others.
pub(super) static SPECIES: Class = Class::plain(&[
    "fox", "rabbit", "bear", "mouse", "duck", "kitten", "puppy", "squirrel", "frog", "otter", "raccoon", "lamb",
    "pony", "calf", "piglet", "penguin", "monkey", "panda", "koala", "lion", "tiger", "elephant", "giraffe",
    "hamster", "deer", "beaver", "wolf", "chipmunk", "zebra", "hippo", "camel", "kangaroo",
]);

/// The hero's family: how they are called, and who they are.
pub(super) static FAMILY: Class = Class::table(&["", "he", "my"], &[
    "Mom/she/mom", "Dad/he/dad", "Grandma/she/grandma", "Grandpa/he/grandpa", "Aunt Rose/she/aunt",
    "Uncle Joe/he/uncle",
]);

/// Strangers on the way.
pub(super) static CREATURES: Class = Class::table(&["", "he"], &[
    "owl/she", "tortoise/he", "badger/he", "crow/she", "toad/he", "goose/she", "heron/he", "hedgehog/she",
    "mole/he", "robin/she", "swan/she", "donkey/he", "goat/she", "hen/she", "rooster/he", "parrot/he", "moose/he",
    "cow/she", "sheep/she", "farmer/he", "gardener/she", "baker/he", "shepherd/she", "fisherman/he", "painter/she",
    "sailor/he", "tailor/she", "miller/he", "teacher/she", "carpenter/he", "wizard/he", "queen/she",
]);

/// People from next door.
pub(super) static NEIGHBORS: Class = Class::table(&["", "he"], &[
    "Mr. Brown/he", "Mrs. Green/she", "Miss Daisy/she", "Mr. White/he", "Mrs. Bell/she", "Mr. Hill/he",
    "Miss Pepper/she", "Mr. Baker/he", "Mrs. Moon/she", "Mr. Fisher/he", "Miss Holly/she", "Mrs. Stone/she",
]);

/// What a hero is like.
pub(super) static TRAITS: Class = Class::plain(&[
    "kind", "brave", "clever", "shy", "curious", "cheerful", "gentle", "funny", "quiet", "busy", "friendly",
    "polite", "playful", "careful", "merry", "silly", "bold", "sweet", "helpful", "honest", "lively", "dreamy",
    "eager", "thoughtful", "jolly", "nimble", "stubborn", "noisy", "messy", "smart", "active", "patient", "calm",
    "proud", "lucky", "gifted", "nosy", "chatty", "graceful", "sleepy", "fearless", "generous", "hungry",
    "sensible", "tidy", "wild", "warm", "witty",
]);

/// How it feels when things go wrong.
pub(super) static SAD: Class = Class::plain(&[
    "sad", "upset", "unhappy", "worried", "gloomy", "glum", "troubled", "miserable", "blue", "nervous", "lonely",
    "hopeless", "helpless", "anxious", "sorrowful", "tearful", "uneasy",
]);

/// How it feels when all is well.
pub(super) static GLAD: Class = Class::plain(&[
    "happy", "glad", "proud", "thankful", "joyful", "delighted", "excited", "pleased", "grateful", "thrilled",
    "overjoyed", "relieved", "merry", "content", "hopeful", "cheery", "jolly", "lighthearted",
]);

/// What one can love to do.
pub(super) static HOBBIES: Class = Class::plain(&[
    "sing", "dance", "draw", "paint", "run", "climb trees", "read books", "tell jokes", "count the stars",
    "pick flowers", "collect shells", "splash in puddles", "play hide-and-seek", "build towers", "blow bubbles",
    "jump rope", "feed the birds", "watch the clouds", "listen to stories", "chase butterflies", "make mud pies",
    "look for shiny stones", "whistle", "help in the kitchen", "dig holes", "roll down hills", "skip stones",
    "catch raindrops", "solve puzzles", "play with clay", "fold paper boats", "water the plants", "explore caves",
    "swing high", "hum little tunes", "make new friends", "bake", "knit", "play tag", "jump over logs", "sew",
    "make soup", "ride on the bus", "wave at trains", "write letters", "fly kites", "jump in the hay", "make faces",
    "count sheep", "tell riddles", "walk barefoot", "plant seeds", "yodel", "paint stones", "juggle plums", "march",
    "tidy up", "swim", "hide in baskets", "play the drum", "sit in the sun", "look at maps", "snore",
    "invent games",
]);

/// What one can learn; the second column follows "kept on".
pub(super) static SKILLS: Class = Class::table(&["", "ing"], &[
    "ride a bike/riding", "swim/swimming", "skate/skating", "juggle/juggling", "do a cartwheel/rolling",
    "play the flute/playing", "play the piano/playing", "walk on stilts/walking", "dive/diving",
    "hop on one leg/hopping", "ski/skiing", "row a boat/rowing", "climb a rope/climbing", "bounce a ball/bouncing",
    "spin a hoop/spinning", "stand on one hand/trying", "dance the polka/dancing", "catch a ball/catching",
    "jump a ditch/jumping", "ride a scooter/riding",
]);

/// What a hero always wears.
pub(super) static CLOTHES: Class = Class::plain(&[
    "hat", "scarf", "coat", "cap", "sweater", "ribbon", "vest", "jacket", "bow", "cape", "apron", "backpack",
    "necklace", "bracelet", "shirt", "raincoat", "crown", "belt", "sash", "bonnet", "cardigan", "tie", "hood",
    "shawl", "poncho", "robe", "waistcoat", "beret", "tunic", "helmet", "pullover", "mask",
]);

/// What one dreams of at night.
pub(super) static DREAMS: Class = Class::plain(&[
    "flying over the mountains", "a ship made of chocolate", "dancing with the stars", "a castle in the clouds",
    "swimming with whales", "a wizard who liked tea", "riding on a comet", "a garden full of lanterns",
    "sliding down a rainbow", "talking trees", "a train to the moon", "a parade of elves", "soft pillows of moss",
    "fireflies and music", "an island of cats", "jumping from cloud to cloud", "a river of lemonade",
    "snowmen having a picnic", "a giant with a tiny umbrella", "a pirate who baked bread", "tomorrow",
    "all the fun still to come", "singing mermaids", "a penguin on roller skates", "a whale in a bathtub",
    "a ladder to the sun", "a town of mice", "bears on bicycles", "a polite dragon", "an orchestra of frogs",
    "a house made of bread", "a friendly ghost",
]);
