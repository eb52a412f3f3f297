//! Something good for the table.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "cook",
    wants: r#"{then} {hero} [decided|wanted] to make {a dish} for [the whole family|{loved}|the spring feast|the
        school fair|a picnic {place.at}]. {He} {quickly} got out {a nice} bowl, and into it went {number}
        [spoons|cups] of {ingredient} and a [pinch|bit|drop|cloud] of {ingredient2}. {He} {quickly} stirred it
        {number} times, until it [was smooth|smelled of {flower}|looked like {a beast}]."#,
    moral: r#"[read every recipe twice|tasted everything [twice|before supper]|looked at the clock [twice|before
        cooking]|cooked with [care|a smile]]"#,
    obstacles: &[SPILLED, BURNT, TASTE],
};

const SPILLED: Obstacle = Obstacle {
    name: "spilled",
    happens: r#"[Crash|Splash|Clatter|Oh no]! {His} [elbow|sleeve|spoon] hit the bowl, and everything [fell|spilled]
        on the [floor|rug|{beast} that was passing by]. {Hero} felt {very} {sad}, like {like}."#,
    plea: "I spilled the {dish}",
    helped: &[
        r#""[Spilled is not lost|Dry your tears|Do not worry]," {said} {helper}{kindly}. {Helper} {quickly}
            [swept|wiped|mopped] the floor while {hero} [ran|walked] to the [shop|market|mill]. There {he} {quickly}
            traded {a thing} for [a bag|a basket] of {food}. Now the {dish} had {food} in it, and it was [even
            better|better than ever]!"#,
        r#"{Helper} looked at the mess and began to [laugh|giggle|smile]. "It looks like {a beast2}," {helper.he}
            said. Then {hero} had to laugh too. They [borrowed|asked for] an egg [next door|from a hen|from the
            baker], some {ingredient} and a little {color2} sugar, and they {quickly} [cooked|made] the {dish}
            together."#,
    ],
    alone: &[
        r#"{He} {quickly} cleaned the floor [with a mop|on {his} knees|until it shone]. Then {he} looked in [every
            cupboard|the cellar|the pantry] and found [some|a jar of|a box of] {food}. "{Food} will do," {he} thought,
            and {he} made a [small|new|round] {dish} out of that."#,
    ],
};

const BURNT: Obstacle = Obstacle {
    name: "burnt",
    happens: r#"But while it was on the [stove|fire], {hero} [looked at {a beast}|went to pick {flower}|fell
        asleep|read a book about {a beast}|played with {a toy}]. Soon there was [black|gray|thick|a lot of] smoke! The
        {dish} was as black as [coal|night|{a thief}|an old boot]. {Hero} was {very} {sad}, like {like}."#,
    plea: "I burned the {dish}",
    helped: &[
        r#"{Helper} opened all the windows. "I once [burned|cooked|fried] {a thing}, so what is {a dish}?" {helper.he}
            [joked|laughed|said]. Then they {quickly} began again. This time {hero} [watched|guarded] the fire, and
            {helper} told [stories|jokes] about {a beast2} until it was [done|ready|golden]."#,
        r#""Let us see [what is inside|if there is something good in it]," {said} {helper}{kindly}, and [cut|scraped]
            off the black part. Under it, the {dish} was [golden|soft|sweet|warm]! They put {food} on top and [some|a
            little] {ingredient} around it, and [nobody could tell|no one knew that it had burned]."#,
    ],
    alone: &[
        r#"{He} {quickly} gave the black {dish} to [the birds|the pigs|a thankful {beast2}]. Then {he} [began|started]
            again with [less|more] {ingredient}, and {he} sat [in front of|beside] the fire the whole time. {He}
            counted to {number} hundred. [Ding|Pop|Done]! It came out [golden|perfect|just right]."#,
    ],
};

const TASTE: Obstacle = Obstacle {
    name: "taste",
    happens: r#"Then {hero} {quickly} tasted a [spoonful|little bit]. [Ugh|Yuck|Oh dear|Phew]! {He} had mixed up the
        {ingredient} and the [soap|sand|pepper|vinegar|mustard]. It tasted like {a thing}. {He} felt {very} {sad},
        like {like}."#,
    plea: "My {dish} tastes [awful|terrible|bad]",
    helped: &[
        r#"{Helper} [tried|tasted] it too and made a face like {a beast}. "[Hmm|Well]," {said} {helper}{kindly}. "It
            wants {food}." They {quickly} added {food}, and it was better. They added some [lemon|cream|sugar|mint],
            and it was good. They added {food2}, and it was [wonderful|delicious|fit for a king]!"#,
        r#""My [grandmother|old aunt|teacher] had a trick for that," {said} {helper}{kindly}. {Helper} {quickly} put
            in [one|half an] apple and {number} drops of [honey|lemon juice|syrup] and [sang|hummed] a song about
            {a beast}. {Hero} tasted it again. [Mmm|Yum|Oh]! Now it tasted like [summer|Sunday|a holiday|a warm hug]."#,
    ],
    alone: &[r#"{He} thought of all the things {he} liked to eat. {He} tried {food}. [No|Not yet]! {He} tried {food2}.
        [Yes|That was it]! A third bowl went to {a beast}, who [ate it all|did not mind|asked for more], and the
        {dish} was ready in time."#],
};
