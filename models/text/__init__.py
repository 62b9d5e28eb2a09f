"""Texts to token ids: one window of a text, or chunks of it. Training and serving share this code."""

from models.text.encoder import USUAL_WINDOW as USUAL_WINDOW
from models.text.encoder import Inputs as Inputs
from models.text.encoder import Pair as Pair
from models.text.encoder import ReadText as ReadText
from models.text.encoder import TextEncoder as TextEncoder
from models.text.encoder import TokenCounts as TokenCounts
from models.text.encoder import TokenIds as TokenIds
from models.text.encoder import Window as Window
