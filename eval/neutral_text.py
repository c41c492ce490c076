"""Plain prose about nothing that people disagree on, written for this project: has a variant kept its language?"""

TEXTS = (
    "A kettle left on a low flame warms slowly at first. Small bubbles gather on the bottom, let go one after the "
    "other and vanish before they reach the surface. Only when the whole of the water is hot do they rise all the "
    "way and burst.",
    "The ferry crosses the sound four times a day. In winter it sails an hour later, because the pier is icy in "
    "the morning and has to be cleared before the cars can drive on board. Passengers wait in a wooden shed with "
    "a bench and a stove.",
    "To mend a puncture, take the tyre off the rim on one side and pull out the tube. Pump it up, hold it under "
    "water and look for the bubbles. Dry the place, roughen it with sandpaper, spread the glue thinly and wait "
    "before pressing on the patch.",
    "Swallows build their nests from mud that they collect in small pellets at the edges of puddles. A nest takes "
    "about a thousand of them. Most pairs come back to the same barn in spring and repair what the frost has "
    "broken.",
)
