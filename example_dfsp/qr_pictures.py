"""Pictures of QR codes: makes an SVG picture of a QR code, and reads a QR code from the grey pixels of a photograph."""

import qrcode
import qrcode.constants
import zxingcpp

MOST_PIXELS = 1_200_000
_BORDER = 4  # width in modules, as the QR code standard requires
_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


def svg_of(text: str) -> str:
    """Returns a QR code as an SVG picture. The code is black on white in both colour themes, so that every camera
    recognises it.
    """
    code = qrcode.QRCode(border=_BORDER, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    code.make(fit=True)
    rows = code.get_matrix()
    size = len(rows)
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, is_dark in enumerate(row) if is_dark)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path fill="#000" d="{path}"/></svg>'
    )


def text_in(pixels: bytes, width: int) -> str | None:
    """Returns the text of the QR code in a picture, or None. `pixels` has one byte of grey for each pixel."""
    if not 0 < width <= len(pixels) <= MOST_PIXELS or len(pixels) % width:
        return None
    picture = memoryview(pixels).cast("B", (len(pixels) // width, width))
    found = zxingcpp.read_barcodes(picture, formats=_QR)
    return next((code.text for code in found if code.valid), None)
