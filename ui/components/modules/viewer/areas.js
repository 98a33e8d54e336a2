// @ts-check
// The slider of the smallest region: which sizes it stops at.

/**
 * Sizes that the slider offers: each up to 16, then in steps of about a twelfth.
 *
 * @param {number} most
 */
export function areaStops(most) {
  const stops = [];
  for (let area = 1; area <= most; area = Math.max(area + 1, Math.round(area * (area < 16 ? 1 : 1.085)))) stops.push(area);
  if (stops.at(-1) !== most) stops.push(most);
  return stops;
}

/**
 * Which stop is the first that is not smaller than a size; the last one where none is.
 *
 * @param {number[]} stops
 * @param {number} area
 */
export function nearestStop(stops, area) {
  const at = stops.findIndex((stop) => stop >= area);
  return at < 0 ? stops.length - 1 : at;
}
