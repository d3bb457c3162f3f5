"""Every family, by name; adding one is adding a line here and refreshing the golden digests."""

from __future__ import annotations

from tunix_generators.families import money, quantities, symbols, time_and_place
from tunix_generators.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        quantities.AgePuzzle(),
        time_and_place.CalendarDay(),
        time_and_place.CompassTurns(),
        time_and_place.EntryRule(),
        quantities.FairSharing(),
        money.FenceCost(),
        quantities.MeanScore(),
        money.MixedPurchase(),
        time_and_place.OrderingPeople(),
        quantities.RateDistance(),
        quantities.RecipeScaling(),
        time_and_place.ScheduleTime(),
        money.ShoppingChange(),
        quantities.StockFlow(),
        quantities.UnitConversion(),
        money.WorkPay(),
        symbols.BooleanLogic(),
        symbols.CaesarShift(),
        symbols.ChainArithmetic(),
        symbols.GreatestCommonDivisor(),
        symbols.LetterAt(),
        symbols.NextInSequence(),
        symbols.SortNumbers(),
        symbols.StringReverse(),
    )
}
