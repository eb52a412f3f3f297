//! What there is in the world of the stories: places, things, plants, food and weather.

use super::class::Class;

/// Places to go, with what lies about there (`land`, see [`SPOTS`]).
pub(super) static PLACES: Class = Class::table(&["", "at", "land"], &[
    "the park/in the park/green", "the meadow/in the meadow/green", "the garden/in the garden/green",
    "the field/in the field/green", "the orchard/in the orchard/green", "the hill/on the hill/green",
    "the forest/in the forest/wood", "the pine woods/in the pine woods/wood", "the valley/in the valley/wood",
    "the jungle/in the jungle/wood", "the birch grove/in the birch grove/wood", "the beach/on the beach/shore",
    "the lake/at the lake/shore", "the harbor/at the harbor/shore", "the river/by the river/shore",
    "the pond/by the pond/shore", "the farm/on the farm/farm", "the barn/at the barn/farm",
    "the old mill/at the old mill/farm", "the market/at the market/town",
    "the village square/in the village square/town", "the playground/at the playground/town",
    "the school yard/in the school yard/town", "the fair/at the fair/town",
]);

/// Where a thing can lie, by the land around the place.
pub(super) static SPOTS: Class = Class::table(&["", "land"], &[
    "under the bench/green", "behind the rose bush/green", "in the tall grass/green", "beside the fountain/green",
    "between the tulips/green", "behind the swing/green", "next to the stone wall/green", "under the hedge/green",
    "near the picnic table/green", "inside the flower pot/green", "under the ferns/wood",
    "behind the mossy rock/wood", "at the foot of the oak/wood", "under the fallen leaves/wood",
    "beside the mushrooms/wood", "inside the hollow log/wood", "behind the blackberry bush/wood",
    "near the rabbit hole/wood", "between the roots/wood", "next to the old stump/wood",
    "under the little boat/shore", "behind the rocks/shore", "between the reeds/shore",
    "under the wooden dock/shore", "beside the driftwood/shore", "in the fishing net/shore",
    "next to the anchor/shore", "near the water/shore", "inside the empty bucket/shore", "on the wet sand/shore",
    "behind the barn door/farm", "in the hay/farm", "under the wagon/farm", "next to the well/farm",
    "in the pig pen/farm", "beside the tractor/farm", "under the milk pail/farm", "between the pumpkins/farm",
    "behind the chicken coop/farm", "in the corn/farm", "under the long table/town", "behind the bakery/town",
    "next to the mailbox/town", "beside the flower cart/town", "behind the barrel/town",
    "in front of the library/town", "near the lamp post/town", "between the baskets/town", "under the slide/town",
    "on the steps/town",
]);

/// Where a hero lives, after "in".
pub(super) static REGIONS: Class = Class::plain(&[
    "a green valley", "a small village", "a quiet town", "a land of hills", "a busy city", "a sleepy village",
    "a warm country", "a snowy land", "a kingdom by the sea", "a deep forest", "a place called Maple Hollow",
    "a tiny seaside town", "the north", "the far south", "the mountains", "a street full of trees",
    "a village of red roofs", "the land of springs", "a forgotten valley", "a city of bridges", "a land of lakes",
    "a village on stilts", "the wide plains", "a town called Pepperton", "a place called Honey Hill",
    "a rainy country", "a bright green land", "the west",
]);

/// What a house stands by.
pub(super) static LANDMARKS: Class = Class::plain(&[
    "river", "sea", "forest", "windmill", "railway", "church", "bridge", "waterfall", "lighthouse", "bakery",
    "school", "castle", "lake", "mountain", "orchard", "crossroads", "tower", "library", "market", "vineyard",
    "canal", "harbor", "quarry", "fountain",
]);

/// What a morning can be.
pub(super) static WEATHER: Class = Class::plain(&[
    "sunny", "warm", "windy", "cloudy", "cool", "bright", "quiet", "fine", "misty", "breezy", "golden", "lovely",
    "gray", "fresh", "mild", "beautiful", "rainy", "chilly", "hot", "calm", "clear", "frosty", "perfect", "dull",
]);

/// Parts of a day in which things begin.
pub(super) static TIMES: Class = Class::plain(&["morning", "day", "afternoon", "Saturday", "Sunday", "Monday"]);

/// Colors.
pub(super) static COLORS: Class = Class::plain(&[
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "silver", "golden", "white", "black",
    "striped", "spotted", "shiny", "rainbow", "turquoise", "violet", "scarlet", "copper", "crimson", "cream",
    "bright", "gray",
]);

/// Things to play with, small enough to lose.
pub(super) static TOYS: Class = Class::plain(&[
    "ball", "doll", "teddy bear", "toy car", "toy train", "drum", "marble", "whistle", "toy boat", "puppet",
    "yo-yo", "music box", "bucket", "paper fan", "wooden horse", "spinning top", "toy robot", "rattle", "lantern",
    "trumpet", "magnet", "toy truck", "toy rocket", "rag doll", "flashlight", "toy dinosaur", "sock puppet",
    "magic wand", "toy plane", "tambourine", "jigsaw puzzle", "toy piano", "toy tractor", "toy soldier",
    "skipping rope", "hand mirror", "crystal", "notebook", "compass", "harmonica", "telescope", "jack-in-the-box",
    "toy castle", "picture card", "stuffed bunny",
]);

/// Things that fly off.
pub(super) static FLYERS: Class = Class::plain(&[
    "kite", "balloon", "paper plane", "beach ball", "frisbee", "straw hat", "glider", "handkerchief",
    "paper dragon", "pinwheel", "parachute", "feather boa",
]);

/// Good things to eat.
pub(super) static FOODS: Class = Class::plain(&[
    "apples", "honey", "pancakes", "carrots", "cheese", "plums", "berries", "nuts", "noodles", "porridge",
    "cherries", "toast", "pears", "muffins", "popcorn", "grapes", "waffles", "peaches", "raisins", "bread", "jam",
    "oranges", "melon", "pudding", "biscuits", "mangoes", "soup", "corn", "peas", "rice cakes", "ginger cookies",
    "strawberries", "bananas", "dumplings", "pretzels", "walnuts", "cinnamon rolls", "coconut", "potatoes",
    "lemon cake", "figs", "dates", "omelets", "tacos", "apricots", "meatballs", "celery", "mushrooms", "beans",
    "pickles", "yogurt", "radishes", "spinach", "onions", "sausages", "fritters", "cupcakes", "marshmallows",
    "almonds", "blueberries", "turnips", "granola", "cabbage", "scones", "doughnuts", "pumpkin seeds", "oatmeal",
    "crackers",
]).with(&[
    "sweet", "warm", "fresh", "golden", "crunchy", "juicy", "ripe", "hot", "cold", "tasty", "homemade", "salty",
    "baked", "roasted", "creamy", "spicy",
]);

/// What one cooks for others.
pub(super) static DISHES: Class = Class::plain(&[
    "apple pie", "birthday cake", "pot of soup", "plum tart", "tray of cookies", "carrot cake", "loaf of bread",
    "cherry pie", "stack of pancakes", "pumpkin pie", "fruit salad", "bowl of pudding", "pizza", "pan of lasagna",
    "pot of stew", "chocolate cake",
]).with(&[
    "big", "small", "special", "fine", "splendid", "simple", "beautiful", "famous", "secret", "huge", "perfect",
    "proper", "tiny", "grand", "festive", "lovely",
]);

/// What goes into it.
pub(super) static INGREDIENTS: Class = Class::plain(&[
    "flour", "sugar", "milk", "butter", "salt", "honey", "cream", "cinnamon", "oil", "vanilla", "yeast", "ginger",
]);

/// Small wild things that pass by.
pub(super) static BEASTS: Class = Class::plain(&[
    "butterfly", "ladybug", "bumblebee", "dragonfly", "snail", "beetle", "caterpillar", "cricket", "spider",
    "lizard", "grasshopper", "moth", "worm", "firefly", "ant", "sparrow", "bluebird", "woodpecker", "newt", "crab",
    "swallow", "cockroach", "earwig", "salamander", "tadpole", "wasp", "hornet", "finch", "minnow", "shrimp",
    "slug", "gnat", "starling", "titmouse", "hare", "bat", "vole", "kingfisher", "canary", "stag beetle",
    "water strider", "centipede", "mosquito", "pigeon", "jellyfish", "hummingbird",
]).with(&[
    "sleepy", "tiny", "green", "curious", "lazy", "hairy", "polite", "old", "fat", "nervous", "singing", "lonely",
    "pale", "dizzy", "grumpy", "brown", "hungry", "shiny", "timid", "chatty", "dusty", "young", "spotted",
    "thirsty", "proud", "yawning", "bored", "plump", "dreamy", "gray", "busy", "noisy",
]);

/// Flowers, in the plural.
pub(super) static FLOWERS: Class = Class::plain(&[
    "daisies", "roses", "tulips", "violets", "sunflowers", "poppies", "daffodils", "lilies", "buttercups",
    "bluebells", "dandelions", "pansies", "marigolds", "snowdrops", "orchids", "clovers", "irises", "asters",
    "bluets", "primroses", "peonies", "lupines", "thistles", "zinnias",
]).with(&[
    "wild", "white", "blue", "fresh", "tall", "sweet", "yellow", "pink", "purple", "late", "tender", "lovely",
    "tiny", "bright", "dewy", "pretty",
]);

/// Trees.
pub(super) static TREES: Class = Class::plain(&[
    "oak", "apple", "pine", "maple", "chestnut", "willow", "birch", "cherry", "pear", "palm", "elm", "fig",
]).with(&[
    "tall", "old", "crooked", "bare", "young", "lonely", "hollow", "mighty", "leafy", "knotty", "great", "slender",
    "fallen", "thick", "bent", "whispering",
]);

/// Those who take what is not theirs.
pub(super) static THIEVES: Class = Class::plain(&[
    "magpie", "seagull", "ferret", "raven", "jackdaw", "rat", "billy goat", "weasel", "alley cat", "pelican",
    "ostrich", "llama",
]).with(&[
    "cheeky", "naughty", "greedy", "bold", "sly", "hungry", "rude", "fat", "quick", "ragged", "bored", "sneaky",
    "clumsy", "wicked", "vain", "noisy", "grinning", "thin", "lazy",
]);

/// What one finds when one looks for something else.
pub(super) static JUNK: Class = Class::plain(&[
    "key", "comb", "boot", "spoon", "glove", "tin can", "letter", "cup", "sock", "pine cone", "coin", "bird nest",
    "horseshoe", "bottle", "clothespin", "ball of string", "candle", "chess piece", "banana peel", "rubber duck",
    "doorknob", "bell", "brush", "slipper", "hinge", "map", "pocket watch", "fork", "thimble", "wheel", "zipper",
    "bone", "hairpin", "picture book", "spring", "sponge", "teaspoon", "wallet", "whisk", "ladle", "tennis ball",
    "fan", "belt", "lampshade", "pipe", "paintbrush", "mousetrap", "hubcap", "feather duster", "tea bag",
    "jigsaw piece", "snow shovel", "mitten", "crayon", "ticket", "watering can",
]).with(&[
    "rusty", "broken", "wet", "bent", "muddy", "torn", "cracked", "dusty", "old", "lost", "sticky", "faded",
    "forgotten", "scratched", "dented", "smelly", "dirty", "tangled", "chipped", "stained", "crooked", "dripping",
    "moldy", "patched",
]);

/// Long things to reach with.
pub(super) static POLES: Class = Class::plain(&[
    "stick", "broom", "rake", "fishing rod", "ladder", "mop", "umbrella", "pole", "branch", "walking cane",
    "paddle", "rope",
]).with(&[
    "long", "crooked", "heavy", "thin", "sturdy", "knotted", "painted", "borrowed", "wobbly", "rough", "smooth",
    "splintery", "old", "bent", "wooden", "light",
]);

/// Presents that one makes, and what they take.
pub(super) static GIFTS: Class = Class::plain(&[
    "card", "picture", "birdhouse", "clay cup", "paper star", "basket", "candle", "picture frame", "quilt",
    "bookmark", "jewelry box", "wind chime", "wooden spoon", "paper flower", "tea pot", "mask", "calendar",
    "little chair",
]);

/// What presents are made with.
pub(super) static MATERIALS: Class = Class::plain(&[
    "glue", "paint", "string", "paper", "ribbon", "tape", "clay", "wool", "glitter", "wire", "thread", "cardboard",
]);

/// Little ones who need their mothers: what they are, whom they miss, what they say.
pub(super) static BABIES: Class = Class::table(&["", "mother", "cry"], &[
    "chick/mother hen/peep", "duckling/mother duck/quack", "gosling/mother goose/honk", "fawn/mother doe/bleat",
    "foal/mother mare/neigh", "baby bat/mother bat/squeak", "seal pup/mother seal/arf", "cygnet/mother swan/cheep",
    "owlet/mother owl/hoo", "bear cub/mother bear/grrr", "baby turtle/mother turtle/snap",
    "baby hedgehog/mother hedgehog/snuffle", "baby robin/mother robin/tweet", "baby mole/mother mole/sniff",
]);

/// Noises in the dark.
pub(super) static SOUNDS: Class = Class::plain(&[
    "thump", "creak", "scratch", "knock", "tap", "rustle", "bang", "rattle", "click", "crunch", "drip", "boom",
    "squeak", "whoosh", "clank", "plop",
]);

/// What made them.
pub(super) static SOURCES: Class = Class::plain(&[
    "a kitten in a box", "a branch on the window", "an old clock", "a hungry mouse", "a loose shutter",
    "a frog in a flower pot", "a gate in the wind", "an acorn on the roof", "a puppy who wanted to play",
    "a leaky pipe", "a moth in the lamp", "a bucket on a rope", "a squirrel with a nut", "a toad under the stairs",
    "a swinging sign", "a raindrop on a tin cup",
]);

/// Things that break.
pub(super) static FRAGILE: Class = Class::plain(&[
    "vase", "teapot", "plate", "lamp", "mirror", "clock", "glass bowl", "cookie jar", "flower pot", "mug",
    "snow globe", "sugar bowl", "jug", "china cat", "picture frame",
]);

/// What grows from a seed: the seed, and what one says of the harvest.
pub(super) static PLANTS: Class = Class::table(&["", "s"], &[
    "sunflower/sunflowers", "pumpkin/pumpkins", "bean/beans", "tomato/tomatoes", "cucumber/cucumbers",
    "radish/radishes", "lettuce/lettuces", "turnip/turnips", "beet/beets", "pepper/peppers",
    "watermelon/watermelons", "squash/squashes", "onion/onions", "cabbage/cabbages", "eggplant/eggplants",
    "zucchini/zucchini", "melon/melons", "carrot/carrots", "pea/peas", "leek/leeks",
]);

/// Contests, after "the".
pub(super) static CONTESTS: Class = Class::plain(&[
    "running race", "sack race", "boat race", "sled race", "spoon race", "bike race", "scooter race",
    "swimming race", "hopping race", "wagon race", "skating race", "tricycle race",
]);

/// What the winner gets.
pub(super) static PRIZES: Class = Class::plain(&[
    "medal", "cup", "ribbon", "flag", "book", "trophy", "cake", "star", "basket of fruit", "box of candy",
    "jar of honey", "wreath",
]);

/// Small numbers.
pub(super) static NUMBERS: Class = Class::plain(&[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fifteen", "twenty", "thirty", "forty", "fourteen", "sixteen", "seventeen", "eighteen", "nineteen", "fifty",
    "sixty", "ninety",
]);

/// Small things that one keeps.
pub(super) static KEEPSAKES: Class = Class::plain(&[
    "buttons", "shells", "pebbles", "acorns", "feathers", "marbles", "stamps", "beads", "corks", "ribbons", "coins",
    "crayons", "pine cones", "maps", "postcards", "seeds", "stickers", "bottle caps", "leaves", "keys",
    "paper boats", "chestnuts", "bells", "candles", "pencils", "magnets", "tickets", "gloves", "spoons", "socks",
    "stars", "mittens", "whistles", "ladles", "puzzles", "fossils", "crystals", "clothespins", "dominoes",
    "thimbles", "snail shells", "corn cobs", "wooden animals", "paper birds", "fishhooks", "pictures", "gems",
    "labels", "threads", "badges", "balloons", "toy soldiers", "strings", "medals", "chess pieces", "raisins",
    "peanuts", "clay balls", "letters", "tin cups", "paper crowns", "moon rocks",
]).with(&[
    "shiny", "old", "tiny", "pretty", "round", "smooth", "bright", "rare", "odd", "lucky", "little", "magic",
    "painted", "silver", "special",
]);
