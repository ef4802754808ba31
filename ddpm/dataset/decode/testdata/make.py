"""Writes the pictures of this folder with Pillow: 16x12, left half one colour, right
half another. Run: python3 make.py"""

from PIL import Image

LEFT, RIGHT = (200, 40, 90), (10, 120, 250)

picture = Image.new("RGB", (16, 12), LEFT)
picture.paste(RIGHT, (8, 0, 16, 12))
picture.save("rgb.png")
picture.save("rgb.bmp")
picture.save("rgb.gif")
picture.save("lossless.webp", lossless=True)
picture.save("lossy.webp", quality=100)
picture.save("baseline.jpg", quality=100)
picture.save("progressive.jpg", quality=100, progressive=True)
picture.convert("CMYK").save("cmyk.jpg", quality=100)
picture.convert("L").save("grey.png")
picture.convert("L").save("grey.jpg", quality=100)
picture.convert("P").save("palette.png")
half = picture.copy()
half.putalpha(128)
half.save("alpha.png")
half.save("alpha.webp", lossless=True, exact=True)
