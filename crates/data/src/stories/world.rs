//! What there is in the world of the stories: places, things, plants, food and weather.

use super::lexicon::Class;

/// Places to go, with what lies about there (`land`, see [`SPOTS`]).
pub(super) static PLACES: Class = Class {
    columns: &["", "at", "land"],
    rows: &[
        "the park/in the park/green",
        "the meadow/in the meadow/green",
        "the garden/in the garden/green",
        "the field/in the field/green",
        "the orchard/in the orchard/green",
        "the hill/on the hill/green",
        "the forest/in the forest/wood",
        "the pine woods/in the pine woods/wood",
        "the valley/in the valley/wood",
        "the jungle/in the jungle/wood",
        "the birch grove/in the birch grove/wood",
        "the beach/on the beach/shore",
        "the lake/at the lake/shore",
        "the harbor/at the harbor/shore",
        "the river/by the river/shore",
        "the pond/by the pond/shore",
        "the farm/on the farm/farm",
        "the barn/at the barn/farm",
        "the old mill/at the old mill/farm",
        "the market/at the market/town",
        "the village square/in the village square/town",
        "the playground/at the playground/town",
        "the school yard/in the school yard/town",
        "the fair/at the fair/town",
    ],
};

/// Where a thing can lie, by the land around the place.
pub(super) static SPOTS: Class = Class {
    columns: &["", "land"],
    rows: &[
        "under the bench/green",
        "behind the rose bush/green",
        "in the tall grass/green",
        "beside the fountain/green",
        "between the tulips/green",
        "behind the swing/green",
        "next to the stone wall/green",
        "under the hedge/green",
        "near the picnic table/green",
        "inside the flower pot/green",
        "under the ferns/wood",
        "behind the mossy rock/wood",
        "at the foot of the oak/wood",
        "under the fallen leaves/wood",
        "beside the mushrooms/wood",
        "inside the hollow log/wood",
        "behind the blackberry bush/wood",
        "near the rabbit hole/wood",
        "between the roots/wood",
        "next to the old stump/wood",
        "under the little boat/shore",
        "behind the rocks/shore",
        "between the reeds/shore",
        "under the wooden dock/shore",
        "beside the driftwood/shore",
        "in the fishing net/shore",
        "next to the anchor/shore",
        "near the water/shore",
        "inside the empty bucket/shore",
        "on the wet sand/shore",
        "behind the barn door/farm",
        "in the hay/farm",
        "under the wagon/farm",
        "next to the well/farm",
        "in the pig pen/farm",
        "beside the tractor/farm",
        "under the milk pail/farm",
        "between the pumpkins/farm",
        "behind the chicken coop/farm",
        "in the corn/farm",
        "under the long table/town",
        "behind the bakery/town",
        "next to the mailbox/town",
        "beside the flower cart/town",
        "behind the barrel/town",
        "in front of the library/town",
        "near the lamp post/town",
        "between the baskets/town",
        "under the slide/town",
        "on the steps/town",
    ],
};

/// Where a hero lives, after "in".
pub(super) static REGIONS: Class = Class::plain(&[
    "a green valley",
    "a small village",
    "a quiet town",
    "a land of hills",
    "a busy city",
    "a sleepy village",
    "a warm country",
    "a snowy land",
    "a kingdom by the sea",
    "a deep forest",
    "a place called Maple Hollow",
    "a tiny seaside town",
    "the north",
    "the far south",
    "the mountains",
    "a street full of trees",
    "a village of red roofs",
    "a corner of the world where it was always spring",
]);

/// What a house stands by.
pub(super) static LANDMARKS: Class = Class::plain(&[
    "river",
    "sea",
    "forest",
    "windmill",
    "railway",
    "church",
    "bridge",
    "waterfall",
    "lighthouse",
    "bakery",
    "school",
    "castle",
    "lake",
    "mountain",
    "orchard",
    "crossroads",
]);

/// What a morning can be.
pub(super) static WEATHER: Class = Class::plain(&[
    "sunny",
    "warm",
    "windy",
    "cloudy",
    "cool",
    "bright",
    "quiet",
    "fine",
    "misty",
    "breezy",
    "golden",
    "lovely",
    "gray",
    "fresh",
    "mild",
    "beautiful",
]);

/// Parts of a day in which things begin.
pub(super) static TIMES: Class = Class::plain(&["morning", "day", "afternoon", "Saturday", "Sunday", "Monday"]);

/// Colors.
pub(super) static COLORS: Class = Class::plain(&[
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "silver", "golden", "white", "black",
    "striped", "spotted", "shiny", "rainbow",
]);

/// Things to play with, small enough to lose.
pub(super) static TOYS: Class = Class::plain(&[
    "ball",
    "doll",
    "teddy bear",
    "toy car",
    "toy train",
    "drum",
    "marble",
    "whistle",
    "toy boat",
    "puppet",
    "yo-yo",
    "music box",
    "bucket",
    "paper fan",
    "wooden horse",
    "spinning top",
    "toy robot",
    "rattle",
    "lantern",
    "blanket",
    "pillow",
    "trumpet",
    "magnet",
    "toy truck",
    "toy rocket",
    "rag doll",
    "flashlight",
    "toy dinosaur",
    "sock puppet",
    "magic wand",
    "toy plane",
    "tambourine",
]);

/// Things that fly off.
pub(super) static FLYERS: Class = Class::plain(&[
    "kite",
    "balloon",
    "paper plane",
    "beach ball",
    "frisbee",
    "straw hat",
    "glider",
    "handkerchief",
    "paper dragon",
    "pinwheel",
    "parachute",
    "feather boa",
]);

/// Good things to eat.
pub(super) static FOODS: Class = Class::plain(&[
    "apples",
    "honey",
    "pancakes",
    "carrots",
    "cheese",
    "plums",
    "berries",
    "nuts",
    "noodles",
    "porridge",
    "cherries",
    "toast",
    "pears",
    "muffins",
    "popcorn",
    "grapes",
    "waffles",
    "peaches",
    "raisins",
    "warm bread",
    "jam",
    "oranges",
    "melon",
    "pudding",
    "biscuits",
    "mangoes",
    "soup",
    "corn",
    "peas",
    "rice cakes",
    "ginger cookies",
    "strawberries",
    "bananas",
    "dumplings",
    "pretzels",
    "walnuts",
    "cinnamon rolls",
    "coconut",
    "potatoes",
    "lemon cake",
]);

/// What one cooks for others.
pub(super) static DISHES: Class = Class::plain(&[
    "apple pie",
    "birthday cake",
    "pot of soup",
    "plum tart",
    "tray of cookies",
    "carrot cake",
    "loaf of bread",
    "cherry pie",
    "stack of pancakes",
    "pumpkin pie",
    "fruit salad",
    "bowl of pudding",
    "pizza",
    "pan of lasagna",
    "pot of stew",
    "chocolate cake",
]);

/// What goes into it.
pub(super) static INGREDIENTS: Class = Class::plain(&[
    "flour", "sugar", "milk", "butter", "salt", "honey", "cream", "cinnamon", "oil", "vanilla", "yeast", "ginger",
]);

/// Small wild things that pass by.
pub(super) static BEASTS: Class = Class::plain(&[
    "butterfly",
    "ladybug",
    "bumblebee",
    "dragonfly",
    "snail",
    "beetle",
    "caterpillar",
    "cricket",
    "spider",
    "lizard",
    "grasshopper",
    "moth",
    "worm",
    "firefly",
    "ant",
    "sparrow",
    "bluebird",
    "woodpecker",
    "newt",
    "crab",
]);

/// Flowers, in the plural.
pub(super) static FLOWERS: Class = Class::plain(&[
    "daisies",
    "roses",
    "tulips",
    "violets",
    "sunflowers",
    "poppies",
    "daffodils",
    "lilies",
    "buttercups",
    "bluebells",
    "dandelions",
    "pansies",
    "marigolds",
    "snowdrops",
    "orchids",
    "clovers",
]);

/// Trees.
pub(super) static TREES: Class = Class::plain(&[
    "oak", "apple", "pine", "maple", "chestnut", "willow", "birch", "cherry", "pear", "palm", "elm", "fig",
]);

/// Those who take what is not theirs.
pub(super) static THIEVES: Class = Class::plain(&[
    "magpie",
    "seagull",
    "ferret",
    "raven",
    "jackdaw",
    "rat",
    "billy goat",
    "weasel",
    "alley cat",
    "pelican",
    "ostrich",
    "llama",
]);

/// What one finds when one looks for something else.
pub(super) static JUNK: Class = Class::plain(&[
    "rusty key",
    "broken comb",
    "wet boot",
    "bent spoon",
    "muddy glove",
    "tin can",
    "torn letter",
    "cracked cup",
    "single sock",
    "pine cone",
    "copper coin",
    "bird nest",
    "horseshoe",
    "dusty bottle",
    "wooden peg",
    "ball of string",
    "candle stub",
    "chess piece",
    "banana peel",
    "rubber duck",
]);

/// Long things to reach with.
pub(super) static POLES: Class = Class::plain(&[
    "stick",
    "broom",
    "rake",
    "fishing rod",
    "ladder",
    "mop",
    "umbrella",
    "pole",
    "branch",
    "walking cane",
    "paddle",
    "rope",
]);

/// Presents that one makes, and what they take.
pub(super) static GIFTS: Class = Class::plain(&[
    "card",
    "picture",
    "birdhouse",
    "clay cup",
    "paper star",
    "basket",
    "candle",
    "picture frame",
    "quilt",
    "bookmark",
    "jewelry box",
    "wind chime",
    "wooden spoon",
    "paper flower",
    "tea pot",
    "mask",
    "calendar",
    "little chair",
]);

/// What presents are made with.
pub(super) static MATERIALS: Class = Class::plain(&[
    "glue",
    "paint",
    "string",
    "paper",
    "ribbon",
    "tape",
    "clay",
    "wool",
    "glitter",
    "wire",
    "thread",
    "cardboard",
]);

/// Little ones who need their mothers: what they are, whom they miss, what they say.
pub(super) static BABIES: Class = Class {
    columns: &["", "mother", "cry"],
    rows: &[
        "chick/mother hen/Peep",
        "duckling/mother duck/Quack",
        "gosling/mother goose/Honk",
        "fawn/mother doe/Bleat",
        "foal/mother mare/Neigh",
        "baby bat/mother bat/Squeak",
        "seal pup/mother seal/Arf",
        "cygnet/mother swan/Cheep",
        "owlet/mother owl/Hoo",
        "bear cub/mother bear/Grrr",
        "baby turtle/mother turtle/Snap",
        "baby hedgehog/mother hedgehog/Snuffle",
        "baby robin/mother robin/Tweet",
        "baby mole/mother mole/Sniff",
    ],
};

/// Noises in the dark.
pub(super) static SOUNDS: Class = Class::plain(&[
    "thump", "creak", "scratch", "knock", "tap", "rustle", "bang", "rattle", "click", "crunch", "drip", "boom",
    "squeak", "whoosh", "clank", "plop",
]);

/// What made them.
pub(super) static SOURCES: Class = Class::plain(&[
    "a kitten in a box",
    "a branch on the window",
    "an old clock",
    "a hungry mouse",
    "a loose shutter",
    "a frog in a flower pot",
    "a gate in the wind",
    "an acorn on the roof",
    "a puppy who wanted to play",
    "a leaky pipe",
    "a moth in the lamp",
    "a bucket on a rope",
    "a squirrel with a nut",
    "a toad under the stairs",
    "a swinging sign",
    "a raindrop on a tin cup",
]);

/// Things that break.
pub(super) static FRAGILE: Class = Class::plain(&[
    "vase",
    "teapot",
    "plate",
    "lamp",
    "mirror",
    "clock",
    "glass bowl",
    "cookie jar",
    "flower pot",
    "mug",
    "snow globe",
    "window",
    "sugar bowl",
    "jug",
    "china cat",
    "picture frame",
]);

/// What grows from a seed: the seed, and what one says of the harvest.
pub(super) static PLANTS: Class = Class {
    columns: &["", "s"],
    rows: &[
        "sunflower/sunflowers",
        "pumpkin/pumpkins",
        "bean/beans",
        "tomato/tomatoes",
        "cucumber/cucumbers",
        "radish/radishes",
        "lettuce/lettuces",
        "turnip/turnips",
        "beet/beets",
        "pepper/peppers",
        "watermelon/watermelons",
        "squash/squashes",
        "onion/onions",
        "cabbage/cabbages",
        "eggplant/eggplants",
        "zucchini/zucchini",
    ],
};

/// Contests, after "the".
pub(super) static CONTESTS: Class = Class::plain(&[
    "running race",
    "sack race",
    "boat race",
    "sled race",
    "spoon race",
    "bike race",
    "scooter race",
    "swimming race",
    "hopping race",
    "wagon race",
    "skating race",
    "tricycle race",
]);

/// What the winner gets.
pub(super) static PRIZES: Class = Class::plain(&[
    "medal",
    "cup",
    "ribbon",
    "flag",
    "book",
    "trophy",
    "cake",
    "star",
    "basket of fruit",
    "box of candy",
    "jar of honey",
    "wreath",
]);

/// Small numbers.
pub(super) static NUMBERS: Class = Class::plain(&["two", "three", "four", "five", "six", "seven", "eight", "ten"]);
