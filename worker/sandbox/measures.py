r"""Inside: units of measure, in one writing: `\text{ centimeters}^2`, `平方厘米` and `cm²` are `cm^2`."""

import re

_NAMES = (
    "cm:cm mm:mm km:km dm:dm m:m in:in ft:ft mi:mi yd:yd g:g kg:kg mg:mg lb:lb oz:oz l:l ml:ml s:s min:min h:h hr:h "
    "day:day week:week centimeter:cm centimetre:cm millimeter:mm millimetre:mm kilometer:km kilometre:km meter:m "
    "metre:m inch:in inche:in foot:ft feet:ft mile:mi yard:yd gram:g kilogram:kg pound:lb ounce:oz liter:l litre:l "
    "second:s minute:min hour:h dollar:dollar cent:cent "
    "米:m 公尺:m 厘米:cm 公分:cm 毫米:mm 分米:dm 千米:km 公里:km 克:g 千克:kg 公斤:kg 毫克:mg 升:l 毫升:ml 秒:s "
    "分钟:min 小时:h 天:day 周:week 平方米:m^2 平方厘米:cm^2 平方毫米:mm^2 平方分米:dm^2 平方千米:km^2 平方公里:km^2 "
    "立方米:m^3 立方厘米:cm^3 立方分米:dm^3 "
    "м:m см:cm мм:mm дм:dm км:km г:g кг:kg мг:mg л:l мл:ml с:s сек:s мин:min ч:h "
    "メートル:m センチメートル:cm キロメートル:km グラム:g キログラム:kg 時間:h 分:min "
    "미터:m 센티미터:cm 킬로미터:km 시간:h 분:min 초:s"
)
_UNITS = {name: unit for name, _, unit in (pair.partition(":") for pair in _NAMES.split())}
"""Units of measure, without the plural's `s`: two of them that differ are not equal."""
_MEASURES = {unit.partition("^")[0] for unit in _UNITS.values()}


def measure(written: str, word: str) -> str:
    """Write a unit in one way, with its power."""
    name = word.casefold().strip(" .").removesuffix("s") if len(word) > 2 else word.strip()
    power = re.search(r"(?:\^\s?\{?(\d)\}?|([²³]))\s*$", written)
    name = re.sub(r"\s?\^?\s?[\d²³]$", "", _UNITS.get(name, name)) if power else _UNITS.get(name, name)
    return f"{name}^{power[1] or ' 23'['²³'.index(power[2]) + 1]}" if power else name


def are_other_measures(one: str, other: str) -> bool:
    """Return whether two units are known and differ, as bases of numbers may too."""

    def is_known(unit: str) -> bool:
        return unit.partition("^")[0] in _MEASURES or unit.startswith("base ")

    return one != other and is_known(one) and is_known(other)
