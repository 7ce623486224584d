# SPDX-License-Identifier: GPL-3.0-or-later
"""A grammar of small stories: what the project's own model learns to tell.

A clone of Partita holds no third-party weights, so the model in data/ is trained on text that
this file makes up: a dozen animals on a stretch of coast, who lose kettles, mend boats with
honey and race each other to the lighthouse. Nothing is quoted from anywhere.

The one idea: every choice is skewed, and the skew depends on what was chosen before. `pick`
gives the first item of a list well over twice the weight of the second, and `lean` rotates the
list, so that each hero has a favourite friend, each friend a favourite treat. A greedy decode
of a model that has learned the text thus meets a clear best token at most steps (the margin of
the two best logits at a choice is ln(1 / 0.42) = 0.87 in the limit), and still tells another
story for each prompt.

One hero in seven is a stranger with a made-up name. Nothing but attention can carry such a name
from the first sentence to the last: they are there to make the heads learn to copy.

Invariants: a story is ASCII, names at most three animals and uses each name, kind, pronoun and
object consistently; a cause comes before its effect; the same seed gives the same stories.
"""

import random
import sys


class Animal:
    def __init__(self, name, kind, she, home):
        self.name, self.kind, self.home = name, kind, home
        self.she, self.her, self.hers = ("she", "her", "her") if she else ("he", "him", "his")
        self.She = self.she.capitalize()
        self.full = f"{name} the {kind}"


ANIMALS = [
    Animal("Pip", "mouse", True, "in a lighthouse by the sea"),
    Animal("Bruno", "bear", False, "in a hut at the edge of the wood"),
    Animal("Olga", "otter", True, "in a boat that never went anywhere"),
    Animal("Hugo", "hedgehog", False, "in a workshop full of clocks"),
    Animal("Greta", "goose", True, "in a windmill on the hill"),
    Animal("Sven", "seal", False, "on a rock in the harbour"),
    Animal("Mabel", "mole", True, "in a cellar under the market"),
    Animal("Fergus", "fox", False, "in a railway carriage without wheels"),
    Animal("Tilda", "toad", True, "in an upturned flower pot"),
    Animal("Walter", "walrus", False, "in a bathhouse by the pier"),
    Animal("Dora", "duck", True, "in a post office by the pond"),
    Animal("Crispin", "crab", False, "in an old boot on the beach"),
]
STRANGERS = 0.15
HEADS = "B C D F G H J K L M N P R S T V W Y Z Al Br Ed Em In Is Kr Ol St Tr Ur".split()
VOWELS = "a e i o u".split()
TAILS = "m n l r s t b ck bo do dy ga ki la lly ly ma mmy na nny no ra rt sa ta to x".split()

NATURES = ["small", "cheerful", "stubborn", "careful", "sleepy", "proud", "little"]
HABITS = [
    "drank tea at four", "counted the ships", "sang before breakfast", "swept the doorstep",
    "wrote down the weather", "polished the spoons", "fell asleep after lunch",
]
TREATS = ["buns", "pancakes", "pea soup", "plum cake", "toast and honey", "baked apples",
          "fish pie", "gingerbread"]
SKIES = ["windy", "sunny", "foggy", "rainy", "frosty", "cloudy"]
COLOURS = ["red", "blue", "yellow", "green", "old", "shiny"]

# noun, where it was all the time, why
LOST = [
    ("kettle", "on your head", "on {hers} head", "{She} had put it on to keep off the rain."),
    ("spoon", "behind your ear", "behind {hers} ear",
     "{She} had put it there to stir the tea later."),
    ("hammer", "in your hand", "in {hers} hand", "{She} had been pointing with it all morning."),
    ("scarf", "round your neck", "round {hers} neck", "{She} had even slept in it."),
    ("key", "in the door", "in the door", "It had been there since Tuesday."),
    ("umbrella", "over your head", "over {hers} head", "It had kept {her} dry all the while."),
    ("boot", "on your foot", "on {hers} foot", "{She} had put it on so as not to lose it."),
    ("lantern", "on that hook", "on the hook", "{She} had hung it there to find it in the dark."),
]
# place to look, what was there
CORNERS = [
    ("under the bed", "a sock"), ("behind the stove", "a sleeping beetle"),
    ("in the flour jar", "flour"), ("up the apple tree", "an apple"),
    ("in the piano", "a wrong note"), ("in the rowing boat", "a puddle"),
    ("on the roof", "a surprised gull"), ("in the soup", "more soup"),
]
# thing, fault, wrong way, what came of it, right means, what came of that
FAULTS = [
    ("boat", "had a hole in it", "filled the hole with honey", "the bees moved in at once",
     "a little tar", "not a drop came in"),
    ("clock", "ran backwards", "hit it with a hammer", "it struck thirteen and stopped",
     "a drop of oil", "it ticked like new"),
    ("door", "squeaked like a duck", "sang over the noise", "the ducks came to listen",
     "a drop of oil", "it was as quiet as snow"),
    ("chair", "had one short leg", "sawed the other legs", "it had four short legs",
     "a slice of cork", "it stood like a rock"),
    ("kite", "had a tear in it", "closed it with jam", "the wasps flew away with it",
     "a needle and thread", "it flew higher than the gulls"),
    ("lamp", "would not shine", "shouted at it", "the neighbours woke up",
     "a clean cloth", "it lit the whole bay"),
    ("cart", "had a loose wheel", "tied it on with noodles", "a goat ate the noodles",
     "a good strong nail", "it rolled straight to town"),
    ("roof", "let in the rain", "went to bed with an umbrella", "the bed filled up like a bath",
     "one new tile", "the bed stayed dry"),
]
# what came, what it did, the idea, what happened then
WEATHERS = [
    ("A thick fog", "the boats could not find the harbour", "bang on a pan",
     "One by one the boats came home to the noise."),
    ("A great wind", "all the washing flew out to sea", "fly a kite made of sheets",
     "The kite caught every sock and brought it back."),
    ("Deep snow", "nobody could open a door", "dig a tunnel from house to house",
     "Soon the whole town was having tea in the tunnel."),
    ("A long rain", "the street turned into a river", "row to the shop in a bathtub",
     "By noon the bathtub was the best bus in town."),
    ("A hard frost", "the pump would not give water", "put a woolly hat on the pump",
     "The pump sneezed once and then it ran."),
    ("A hot wind", "the butter ran off the table", "pour it over a mountain of pancakes",
     "Nobody had to be asked twice."),
    ("A loud storm", "nobody in the bay could sleep", "play the drum along with the thunder",
     "The storm lost the beat and went away."),
]
# what a machine was for, what it did instead, what that was good for
MACHINES = [
    ("to butter bread", "threw the butter at the wall", "the wall had never been so shiny"),
    ("to catch rain", "caught the postman", "the letters had never come so early"),
    ("to peel apples", "peeled the potatoes next door", "the neighbours came to say thank you"),
    ("to sweep the floor", "swept the carpet out to sea", "the fish had never been so warm"),
    ("to ring for supper", "rang all night", "the owls were never late again"),
    ("to dry socks", "sent the socks to the moon", "the moon had cold feet anyway"),
    ("to boil eggs", "hatched them", "now there were chicks to talk to"),
]
# a goal to race to, what stopped the fast one
GOALS = [
    ("the lighthouse", "ran past it and into the sea"),
    ("the windmill", "stopped to wave at the crowd"),
    ("the old oak", "lay down for a short sleep"),
    ("the pier", "turned left instead of right"),
    ("the market", "smelled the cheese and sat down"),
    ("the end of the beach", "met a cousin and began to talk"),
]
BOASTS = ["nobody is as fast as I am", "I could win with one leg", "I have never lost a race",
          "the wind takes lessons from me"]
# what the bottle asked for, what it was needed for
WISHES = [
    ("a teapot", "tea for two had been waiting in the cups"),
    ("a pencil", "there was still so much to write"),
    ("a drum", "it was far too quiet there"),
    ("a warm blanket", "the island had no walls"),
    ("a chess board", "the gulls cheated at cards"),
    ("a cork", "the bottle kept filling up"),
]
FRUITS = ["apple", "plum", "cherry", "pear", "pumpkin"]
ENDS = [
    "and nobody was late for supper",
    "and they laughed until the moon came up",
    "and the sea was quiet all night",
    "and the gulls talked about it for a week",
    "and it was the best day of the whole month",
]


def stranger(rng, like):
    """An animal of the kind and home of `like`, with a name of its own."""
    while True:
        name = rng.choice(HEADS) + rng.choice(VOWELS) + rng.choice(TAILS)
        if all(name != a.name for a in ANIMALS):
            return Animal(name, like.kind, name[-1] in "aiy", like.home)


class Story:
    """One story. `rng` is the only source of chance."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, items, lean=0):
        """Item `lean` with weight 1, those after it (in a ring) with 0.42 / i ** 0.8."""
        weights = [1.0] + [0.42 / i ** 0.8 for i in range(1, len(items))]
        i = self.rng.choices(range(len(items)), weights)[0]
        return items[(i + lean) % len(items)]

    def tell(self):
        h = self.hero = self.pick(ANIMALS)
        self.n = ANIMALS.index(h)
        if self.rng.random() < STRANGERS:
            self.hero = stranger(self.rng, h)
        others = [a for a in ANIMALS if a is not h]
        f = self.friend = self.pick(others, self.n + 1)
        self.m = ANIMALS.index(f)
        third = [a for a in others if a is not f]
        self.guest = self.pick(third, self.m + 3)
        self.treat = self.pick(TREATS, self.m)
        self.sky = self.pick(SKIES, self.n)
        plots = [self.lost, self.mend, self.weather, self.machine, self.race, self.bottle, self.pie]
        plot = self.pick(plots, self.n)
        return self.opening() + " " + plot()

    def opening(self):
        h = self.hero
        nature = self.pick(NATURES, self.n)
        form = self.pick([0, 1, 2, 3])
        if form == 0:
            start = (f"Once upon a time there was a {nature} {h.kind} called {h.name}. "
                     f"{h.She} lived {h.home}")
        elif form == 1:
            start = f"{h.name} was a {nature} {h.kind} who lived {h.home}"
        elif form == 2:
            start = f"There was a {nature} {h.kind} called {h.name} who lived {h.home}"
        else:
            start = (f"Once upon a time, there was a {nature} {h.kind} named {h.name}. "
                     f"{h.She} lived {h.home}")
        if self.pick([True, False]):
            start += f" and {self.pick(HABITS, self.n)} every day"
        return start + "."

    def asks(self):
        """How the friend comes in."""
        f = self.friend
        how = self.pick(["came by", "looked in at the window", "came up the path",
                         "stopped to look"], self.m)
        return f"Then {f.full} {how}"

    def close(self, words):
        """The last line: what they did then, and a quiet end."""
        end = self.pick(ENDS, self.m)
        return f"{words}, {end}."

    def lost(self):
        h, f = self.hero, self.friend
        noun, where, there, why = self.pick(LOST, self.n)
        colour = self.pick(COLOURS, self.n)
        a, b = self.pick(CORNERS, self.n), None
        b = self.pick([c for c in CORNERS if c is not a], CORNERS.index(a))
        grammar = {"She": h.She, "her": h.her, "hers": h.hers}
        react = self.pick(["blushed", "blinked", "sat down", "laughed"], self.m)
        return (
            f"One {self.sky} morning {h.name} could not find {h.hers} {colour} {noun}. "
            f"{h.She} looked {a[0]}, but found only {a[1]}. "
            f"{h.She} looked {b[0]}, but found only {b[1]}.\n"
            f"{self.asks()}. \"What have you lost?\" asked {f.name}.\n"
            f"\"My {colour} {noun},\" said {h.name}.\n"
            f"\"Is it the one {where}?\" asked {f.name}.\n"
            f"{h.name} {react}. There was the {noun}, {there.format(**grammar)}. "
            f"{why.format(**grammar)} "
            + self.close(f"So they ate {self.treat} together")
        )

    def mend(self):
        h, f = self.hero, self.friend
        thing, fault, wrong, mess, right, good = self.pick(FAULTS, self.n)
        return (
            f"One {self.sky} day {h.name} saw that the {thing} {fault}. "
            f"\"I can mend that,\" said {h.name}. {h.She} {wrong}, but {mess}.\n"
            f"{self.asks()}. \"You need {right},\" said {f.name}.\n"
            f"So {h.name} took {right}, and {good}. "
            f"\"How did you know?\" asked {h.name}.\n"
            f"\"Last year I {wrong} too,\" said {f.name}. "
            + self.close(f"Then they sat by the {thing} and ate {self.treat}")
        )

    def weather(self):
        h, f = self.hero, self.friend
        what, trouble, idea, result = self.pick(WEATHERS, self.n)
        size = self.pick(["silly", "odd", "clever", "very small"], self.m)
        return (
            f"{what} came in from the sea, and {trouble}. \"What shall we do?\" asked {h.name}.\n"
            f"{self.asks()}. \"I have a {size} idea,\" said {f.name}. "
            f"\"We must {idea}.\"\n".replace("a odd", "an odd")
            + f"\"That will never work,\" said {h.name}, but they did it all the same. {result} "
            f"\"I knew it would work,\" said {h.name}. "
            + self.close(f"{f.name} smiled and made {self.treat} for two")
        )

    def machine(self):
        h, f = self.hero, self.friend
        use, instead, good = self.pick(MACHINES, self.n)
        part = self.pick(["wheels", "springs", "pipes", "bells"], self.n)
        count = self.pick(["three", "seven", "ten", "forty"], self.n)
        return (
            f"One {self.sky} day {h.name} built a machine {use}. It had {count} {part}. "
            f"{h.name} pulled the handle, and the machine {instead}.\n"
            f"\"Oh dear,\" said {h.name}. \"I have too many {part}.\"\n"
            f"{self.asks()}. \"It is a fine machine,\" said {f.name}, for {good}. "
            f"{h.name} thought about it and felt better.\n"
            + self.close(f"So they kept the machine and ate {self.treat}")
        )

    def race(self):
        h, f = self.hero, self.friend
        goal, slip = self.pick(GOALS, self.n)
        boast = self.pick(BOASTS, self.m)
        prize = self.pick(COLOURS, self.n)
        return (
            f"One {self.sky} day {f.full} wanted to race to {goal}. "
            f"\"You should know that {boast},\" said {f.name}.\n"
            f"\"Then I will just walk,\" said {h.name}. {self.guest.full} said go. "
            f"{f.name} ran like the wind, but {slip}. "
            f"{h.name} walked all the way and came in first.\n"
            f"{self.guest.name} gave {h.name} a {prize} ribbon. ".replace("a old", "an old")
            + f"\"I let you win,\" said {f.name}.\n"
            f"\"I know,\" said {h.name} kindly. "
            + self.close(f"Then all three ate {self.treat}")
        )

    def bottle(self):
        h, f, g = self.hero, self.friend, self.guest
        wish, need = self.pick(WISHES, self.n)
        noun = wish.split(" ", 1)[1]
        days = self.pick(["three", "seven", "ten", "forty"], self.n)
        return (
            f"One {self.sky} morning {h.name} found a bottle on the beach. "
            f"There was a letter in it. \"Please bring {wish} to the island,\" it said.\n"
            f"{h.name} took {wish} and asked {f.full} to row. They rowed for {days} hours. "
            f"On the island sat {g.full}.\n"
            f"\"Did you bring the {noun}?\" asked {g.name}. They did, for {need}.\n"
            f"\"Would you like to come home with us?\" asked {h.name}.\n"
            f"\"Not before I have used my {noun},\" said {g.name}. "
            + self.close(f"So all three stayed and ate {self.treat}")
        )

    def pie(self):
        h, f, g = self.hero, self.friend, self.guest
        fruit = self.pick(FRUITS, self.n)
        art = "an" if fruit[0] == "a" else "a"
        share = self.pick(["half of it", "a big piece", "the best part"], self.m)
        return (
            f"One {self.sky} day {h.name} baked {art} {fruit} pie "
            f"and put it on the window to cool. "
            f"{self.asks()}. \"May I taste the {fruit} pie?\" asked {f.name}, and ate {share}.\n"
            f"Then {g.full} came by. \"May I taste it too?\" asked {g.name}, and ate the rest.\n"
            f"\"Now I have only a plate,\" said {h.name}. "
            f"{f.name} and {g.name} looked at their feet.\n"
            f"In the evening they came back with a pie as big as a wheel. "
            f"\"We are sorry,\" said {f.name}. \"May we taste this one?\" "
            + self.close(f"{h.name} laughed and cut it in three")
        )


def stories(seed):
    """An endless row of stories; one seed, one row."""
    rng = random.Random(seed)
    while True:
        yield Story(rng).tell()


if __name__ == "__main__":
    row = stories(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5):
        print(next(row), end="\n\n")
